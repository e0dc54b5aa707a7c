"""``pylitebox run``: one program in a sandbox of its own."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.foreground import FAILED, Foreground
from pylitebox.sandbox.options import Options, parse_assignment, parse_timeout

_DESCRIPTION = """\
Run PROGRAM with its arguments in a fresh sandbox. It sees the host's programs and libraries (/usr, /etc, not your
files) and may change anything, in memory: the changes are gone with it. Nothing of your environment is forwarded, and
there is no network. Show it files with --workspace and --mount, packages of Python with --python."""
_EPILOG = """\
modes of mounts:
  ro    writes are refused
  cow   writes are kept in memory, and gone with the sandbox
  rw    writes reach the host

exit status:
  the program's own; 128+N if signal N ended it; 124 if the time was up; 125 if pylitebox failed; 126 if PROGRAM cannot
  be executed; 127 if it is not found

examples:
  pylitebox run -- bash -c 'echo $$ && ls /'
  pylitebox run --workspace .:rw -- make test
  pylitebox run --python --workspace . -- python3 script.py
  pylitebox run --rootfs debian.tar.xz -- bash
  pylitebox run --mount /data:/data:ro --tmpfs /scratch:256m --timeout 60 -- find /data
"""


#: Options that take no value.
FLAGS = frozenset(("--strace", "--summary", "-t", "--tty", "-h", "--help"))


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program in a sandbox",
        usage="pylitebox run [options] -- PROGRAM [ARG...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    view = parser.add_argument_group("what it sees")
    view.add_argument("--workspace", metavar="DIR[:MODE]", help="mount DIR at its own path and start there (cow)")
    view.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="HOST:GUEST[:MODE]",
        help="mount a host directory (ro); repeatable",
    )
    view.add_argument(
        "--python",
        type=lambda text: text or True,
        metavar="[=PYTHON]",
        help="make the calling Python, or the one named, visible with its packages, read-only; its programs are found "
        "first",
    )
    view.add_argument(
        "--rootfs",
        metavar="DIR|TAR",
        help="show the files of a directory or tar archive (also .gz, .xz, .zst) instead of the host's; writes stay in "
        "memory",
    )
    view.add_argument("--rootfs-size", metavar="SIZE", help="what a compressed rootfs may unpack to (8g)")
    view.add_argument(
        "--tmpfs",
        action="append",
        default=[],
        metavar="GUEST[:SIZE]",
        help="an empty directory in memory, of at most SIZE (such as 64m); repeatable",
    )
    how = parser.add_argument_group("how it runs")
    how.add_argument(
        "--env", action="append", default=[], metavar="K=V", help="set an environment variable; repeatable"
    )
    how.add_argument("--cwd", metavar="GUEST", help="where it starts (the workspace, else /)")
    how.add_argument("--user", metavar="UID[:GID]", help="whom it runs as, inside (0:0)")
    how.add_argument("--hostname", metavar="NAME", help="the host name it sees (pylitebox)")
    how.add_argument(
        "-t", "--tty", action="store_true", help="give it a terminal of its own, which yours shows: for shells, editors"
    )
    how.add_argument("--timeout", metavar="SECONDS", help="end everything after this long")
    how.add_argument("--platform", metavar="NAME", help="native, kvm, emulator, or auto, the first that works (auto)")
    how.add_argument("--memory", metavar="SIZE", help="guest memory where the platform has it in one piece (1g)")
    watch = parser.add_argument_group("watching it")
    watch.add_argument("--strace", action="store_true", help="show every system call, on stderr")
    watch.add_argument("--strace-output", metavar="FILE", help="write them to FILE instead (implies --strace)")
    watch.add_argument("--summary", action="store_true", help="count the system calls, on stderr at the end")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM", help=argparse.SUPPRESS)


def main(options: argparse.Namespace, job: Foreground | None) -> int:
    argv = options.program
    try:
        if not argv or not argv[0]:
            raise OptionError("no PROGRAM is given: pylitebox run [options] -- PROGRAM [ARG...]")
        assert job is not None
        timeout = parse_timeout(options.timeout) if options.timeout is not None else None
        chosen = _options(options)
        with _trace(options) as trace:
            status = job.run(argv, chosen, timeout=timeout, trace=trace, tty=options.tty)
    except OptionError as error:
        print(f"pylitebox: {error}", file=sys.stderr)
        return FAILED
    if job.summary:
        sys.stderr.write(job.summary)
    return status


def _options(options: argparse.Namespace) -> Options:
    assignments = [parse_assignment(text) for text in options.env]
    chosen = Options(
        mounts=options.mount,
        workspace=options.workspace,
        python=options.python or False,
        rootfs=options.rootfs,
        rootfs_size=options.rootfs_size,
        tmpfs=options.tmpfs,
        cwd=options.cwd,
        user=options.user,
        hostname=options.hostname,
        platform=options.platform,
        memory=options.memory,
    )
    chosen.env.update(assignments)
    chosen.summary = options.summary
    return chosen


@contextlib.contextmanager
def _trace(options: argparse.Namespace) -> Iterator[int | None]:
    """The descriptor that a trace goes to."""
    if options.strace_output is None:
        yield 2 if options.strace else None
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        fd = os.open(options.strace_output, flags, 0o666)
    except OSError as error:
        raise OptionError(f"cannot write {options.strace_output}: {error.strerror}") from None
    try:
        yield fd
    finally:
        os.close(fd)
