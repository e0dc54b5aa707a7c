"""Measurements of the host, of pylitebox and of other sandboxes, in one run: ``python -m benchmarks``.

``probe.c``          the program that is measured; it measures itself, inside
``surroundings.py``  how to run it on the host, under pylitebox, runsc and bwrap
``measure.py``       what is measured, and the loop that interleaves the surroundings
``report.py``        ratios to the host, as markdown and JSON
``platforms.py``     our platforms side by side, and Qiling: ``python -m benchmarks.platforms`` (``qiling_guest.py``
                     runs a program under it, ``memory.py`` watches what a sandbox takes)
``scale.py``         large numbers of everything: ``python -m benchmarks.scale``

Rules: numbers are compared within one run only, as ratios, since machines and hours differ; a surrounding that is not
installed, or fails, is a hole in the table, never a guess.
"""
