"""Measurements of the host, of pylitebox and of other sandboxes, in one run: ``python -m benchmarks``.

``probe.c``        the program that is measured; it measures itself, inside
``surroundings.py``  how to run it on the host, under pylitebox, runsc and bwrap
``measure.py``     what is measured, and the loop that interleaves the surroundings
``report.py``      ratios to the host, as markdown and JSON

Rules: numbers are compared within one run only, as ratios, since machines and hours differ; a surrounding that is not
installed, or fails, is a hole in the table, never a guess.
"""
