"""``pylitebox syscalls``, ``surface`` and ``doctor``: what is implemented, what is allowed, what the host offers."""

from __future__ import annotations

import argparse
import sys


def report(options: argparse.Namespace) -> tuple[str, int]:
    """The text, and the exit status."""
    if options.command == "syscalls":
        from pylitebox.north.linux import support

        return support.render(options.format), 0
    if options.command == "surface":
        from pylitebox.south.native.report import render

        return render(options.format), 0
    from pylitebox.supervisor import platforms

    if sys.platform != "linux":
        return platforms.report(), 0 if platforms.any_works() else 1
    from pylitebox.south.native import doctor

    text, healthy = doctor.report()
    return f"{platforms.report()}\n{text}", 0 if healthy else 1
