"""``pylitebox``: the command line. Each command lives in a module of its own.

It starts quickly on purpose: for ``run`` the supervisor is forked before anything else is imported or parsed, so that
it imports the kernel meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from pylitebox.sandbox.errors import SandboxError
from pylitebox.sandbox.foreground import FAILED, Foreground

#: As a shell shows a program that SIGPIPE ended.
BROKEN_PIPE = 141


def entry() -> NoReturn:
    """The ``pylitebox`` program.

    It is too short-lived for a garbage collector, and leaves without taking the interpreter apart: each is several
    milliseconds of a run."""
    gc.disable()
    status = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError as error:
        status = _unwritten(error)
    os._exit(status)


@contextlib.contextmanager
def early_start(arguments: Sequence[str]) -> Iterator[Foreground | None]:
    """The supervisor of a ``run``, started before its options are parsed; ended if they are wrong."""
    if not arguments or arguments[0] != "run" or _wants_help(arguments):
        yield None
        return
    job = Foreground()
    try:
        yield job
    finally:
        job.close()


def _wants_help(arguments: Sequence[str]) -> bool:
    for argument in arguments[1:]:
        if argument == "--" or not argument.startswith("-"):
            return False
        if argument in ("-h", "--help"):
            return True
    return False


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with early_start(arguments) as job:
            _replace_missing_streams()
            from pylitebox.cli.arguments import build_parser, parse

            options = parse(arguments)
            if options.command == "run":
                from pylitebox.cli import run

                return run.main(options, job)
        if options.version:
            import pylitebox

            return _print(f"pylitebox {pylitebox.__version__}", 0)
        if options.command is None:
            return _print(build_parser().format_help(), FAILED)
        from pylitebox.cli import facts

        return _print(*facts.report(options))
    except SandboxError as error:  # no supervisor can be started
        print(f"pylitebox: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _print(text: str, status: int) -> int:
    try:
        print(text.rstrip("\n"), flush=True)
    except OSError as error:
        return _unwritten(error)
    return status


def _replace_missing_streams() -> None:
    """What we write to a stream that is closed goes nowhere, and is no error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays open


def _unwritten(error: OSError) -> int:
    """The status when our own output could not be written; what is left of it is given up."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    if isinstance(error, BrokenPipeError):  # its reader has left, and knows
        return BROKEN_PIPE
    sys.stderr.write(f"pylitebox: standard output: {error.strerror}\n")
    return FAILED
