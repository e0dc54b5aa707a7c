"""``pylitebox syscalls``, ``surface`` and ``doctor``: what is implemented, what is allowed, what the host offers."""

from __future__ import annotations

import argparse


def main(options: argparse.Namespace) -> int:
    if options.command == "syscalls":
        from pylitebox.north.linux import support

        print(support.render(options.format).rstrip("\n"))
        return 0
    if options.command == "surface":
        from pylitebox.south.native import report

        print(report.render(options.format).rstrip("\n"))
        return 0
    from pylitebox.south.native import doctor

    text, healthy = doctor.report()
    print(text.rstrip("\n"))
    return 0 if healthy else 1
