"""The options of the command line. Apart from main.py, because argparse is imported while a supervisor starts."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from pylitebox.cli import run
from pylitebox.sandbox.foreground import FAILED


class Parser(argparse.ArgumentParser):
    """Mistakes are one sentence, with the status that ``run`` promises."""

    def error(self, message: str) -> NoReturn:
        command = self.prog.partition(" ")[2]
        self.exit(FAILED, f"pylitebox: {message} (pylitebox {command + ' ' if command else ''}--help says more)\n")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pylitebox",
        description="Run unmodified Linux programs under a kernel of their own, without root, daemon or image.",
        epilog="examples:\n"
        "  pylitebox run -- ls -l /\n"
        "  pylitebox run --workspace . --python -- python3 script.py\n"
        "  pylitebox run --strace -- cat /etc/os-release\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    run.add_parser(commands)
    _add(commands, "syscalls", "list the system calls, and how far each is implemented", formats=True)
    _add(commands, "surface", "list the host calls that each process of a sandbox may make, and why", formats=True)
    _add(
        commands,
        "doctor",
        "say what this host offers, which walls stand, and how to get what is missing",
        formats=False,
    )
    return parser


def _add(commands: Any, name: str, text: str, *, formats: bool) -> None:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
    if formats:
        parser.add_argument("--format", choices=("table", "json", "markdown"), default="table", help="default: table")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; what stands behind ``--`` is the program's, untouched by argparse."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = build_parser()
    options, unknown = parser.parse_known_args(_separated(arguments[:end]))
    if unknown:
        parser.prog = f"pylitebox {options.command}" if options.command else "pylitebox"
        parser.error(f"there is no option {unknown[0]}")
    if options.command == "run":
        options.program += arguments[end:] if options.program else arguments[end + 1 :]
    return options


def _separated(arguments: list[str]) -> list[str]:
    """``--python`` has a value only behind ``=``: the word after it is the program's name (or an option)."""
    place = 1
    while place < len(arguments) and arguments[place].startswith("-"):
        if arguments[place] == "--python":
            arguments[place] = "--python="
        place += 1 if arguments[place] in run.FLAGS or "=" in arguments[place] else 2
    return arguments
