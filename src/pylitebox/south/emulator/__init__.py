"""The emulator platform: guests run on Unicorn, a CPU in software, wherever Python and the ``unicorn`` package run.

Guest code is translated into this process, so what confines a guest is Unicorn's correctness and whatever confines the
process: see SECURITY.md.
"""
