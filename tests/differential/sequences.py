"""Runs sequences on the host and in a sandbox, and tells where they differ.

A sequence is a list of lines (strategies.py). *Resolving* replaces the names of constants by numbers; *normalizing*
replaces what may differ between any two runs by what must not: ids and inodes by the order in which they appear, times
by whether they were set, or have changed since the inode was last looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pylitebox

Lines = Sequence[str]
#: Runs many sequences at once: the printed lines of each.
Execute = Callable[[Sequence[Lines]], list[list[str]]]
Sides = tuple[Execute, Execute]
#: Lines of the host and ours.
Difference = list[tuple[str, str]]

HERE = Path(__file__).parent
#: Seconds for one run of the executor, and for each sequence more: the machine may be busy. One that never ends fails.
TIMEOUT, PER_SEQUENCE = 120.0, 1.0
#: The kernel whose answers ours gives: older ones check some things in another order.
KERNEL = (6, 18)
_FACTS = ("fcntl", "stat", "mman", "signal", "socket", "poll", "wait", "prctl", "time", "inotify", "ipc", "mqueue")
#: Constants that the library has no use for.
_MORE = {
    "SPLICE_F_MOVE": 1, "SPLICE_F_NONBLOCK": 2, "EFD_SEMAPHORE": 1, "EFD_NONBLOCK": 0o4000, "EFD_CLOEXEC": 0o2000000,
    "TFD_NONBLOCK": 0o4000, "TFD_CLOEXEC": 0o2000000, "SFD_NONBLOCK": 0o4000, "SFD_CLOEXEC": 0o2000000,
    "S_IFDIR": 0o040000,
    "MFD_NOEXEC_SEAL": 8, "__WALL": 0x40000000, "__WCLONE": 0x80000000, "PROT_NONE": 0, "MS_ASYNC": 1, "WSTOPPED": 2,
    "EPOLLIN": 1, "EPOLLOUT": 4, "EPOLLRDHUP": 0x2000, "F_GETSIG": 11, "O_ASYNC": 0x2000, "MADV_NORMAL": 0,
    "MADV_WILLNEED": 3, "MADV_DONTNEED": 4, "MADV_REMOVE": 9, "MADV_DONTFORK": 10,
}  # fmt: skip


def _constants() -> dict[str, int]:
    values: dict[str, int] = {}
    for name in _FACTS:
        module = vars(import_module(f"pylitebox.abi.{name}"))
        values |= {key: value for key, value in module.items() if key.isupper() and isinstance(value, int)}
    return _MORE | values


CONSTANTS = _constants()
_EXPRESSION = re.compile(r"\d\w*(?:\|\w+)*|_*[A-Z][A-Z0-9_]+(?:\|\w+)*")


def _number(word: str) -> int:
    return int(word, 0) if word[0].isdigit() else CONSTANTS[word]


def resolve(line: str) -> str:
    """The line with numbers for the constants' names; KeyError or ValueError for a name that nobody knows."""
    words = []
    for word in line.split():
        if _EXPRESSION.fullmatch(word):
            value = 0
            for part in word.split("|"):
                value |= _number(part)
            word = str(value)
        words.append(word)
    return " ".join(words)


def read(path: Path) -> list[str]:
    """The sequence of a regression file; what follows a ``#`` is a remark."""
    return [line for text in path.read_text().splitlines() if (line := text.partition("#")[0].strip())]


def encode(sequences: Iterable[Lines]) -> bytes:
    """What the executor reads."""
    return "".join("".join(resolve(line) + "\n" for line in lines) + ".\n" for lines in sequences).encode()


def decode(output: bytes, count: int, *, prepared: bool) -> list[list[str]]:
    """What the executor printed of each of ``count`` sequences, normalized; it may not have come to the end."""
    found: list[list[str]] = [[]]
    for line in output.decode().splitlines():
        if line == ".":
            found.append([])
        else:
            found[-1].append(line)
    found[-1] = ["(no end)"]
    return [normalize(lines, prepared=prepared) for lines in [*found, *[["(not run)"]] * count][:count]]


# -- normalizing ------------------------------------------------------------------------------------------------------

#: Not always compared (strategies.GAPS).
_BLOCKS = re.compile(r" b\d+(?= )")
_DIRECTORY_SIZE = re.compile(r"(dir \d+ n\d+ u\d+ g\d+) s\d+")
_PID = re.compile(r"P:(-?\d+)")
_INODE = re.compile(r"(\w+)( \S+ n.*?) i=(\S+) a=(\S+) m=(\S+) c=(\S+)")


class _Normalizer:
    def __init__(self) -> None:
        self.pids: dict[str, str] = {"0": "0", "-1": "-1"}
        self.inodes: dict[str, str] = {}
        self.seen: dict[str, tuple[str, str]] = {}

    def line(self, text: str) -> str:
        text = _PID.sub(lambda match: self.pids.setdefault(match[1], f"process-{len(self.pids)}"), text)
        return _INODE.sub(self._inode, text)

    def _inode(self, match: re.Match[str]) -> str:
        kind, rest, inode, *times = match.groups()
        symbol = self.inodes.setdefault(inode, f"inode-{len(self.inodes)}")
        if kind in ("anon", "sock"):  # nobody keeps their times
            return f"{kind}{rest} {symbol}"
        if kind in ("pipe", "queue"):  # their times are those of the last tick
            return f"{kind}{rest} {symbol} a={_set(times[0], '-')} m={_set(times[1], '-')}"
        atime, mtime, ctime = times
        before = self.seen.get(inode, ("", ""))
        self.seen[inode] = (mtime, ctime)
        shown = [f"a={_set(atime, '-')}", f"m={_set(mtime, 'same' if mtime == before[0] else 'new')}"]
        return " ".join([kind + rest, symbol, *shown, f"c={'same' if ctime == before[1] else 'new'}"])


def _set(time: str, otherwise: str) -> str:
    """A time that utimensat(2) has set, by its value; any other by what is said of it."""
    seconds = int(time.partition(".")[0])
    return time if not 1 << 30 < seconds < 1 << 32 else otherwise


def normalize(lines: Iterable[str], *, prepared: bool = False) -> list[str]:
    """``prepared``: on a workspace, where a directory's size is the lower file system's business: ours keeps what it
    was, a plain tmpfs counts entries, ext4 blocks."""
    normalizer = _Normalizer()
    lines = list(lines)
    if prepared or any(" mmap: 0" in line for line in lines):  # a buffer that can be mapped counts as a whole
        lines = [_BLOCKS.sub("", line) for line in lines]
    result = [normalizer.line(line) for line in lines]
    return [_DIRECTORY_SIZE.sub(r"\1", line) for line in result] if prepared else result


# -- running ----------------------------------------------------------------------------------------------------------


def compile_executor(directory: Path) -> Path:
    """Compile executor.c; it is readable by every user."""
    program = directory / "executor"
    source = HERE / "executor.c"
    subprocess.run(["gcc", "-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    program.chmod(0o755)
    return program


def kernel_version() -> tuple[int, ...]:
    """The host's, as (6, 18)."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def memory_directory() -> Path:
    """A directory of the host whose file system is a tmpfs, as the sandbox's /tmp is; RuntimeError."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        if kind == "tmpfs" and place in ("/dev/shm", "/tmp", "/run/shm") and "rw" in options.split(","):
            return Path(place)
    raise RuntimeError("the host has no tmpfs at /dev/shm or /tmp")


@contextmanager
def work_directory(prepared: int = 0, place: Path | None = None) -> Iterator[Path]:
    """A directory in memory, so deep that names with ``..`` stay within, with this number of trees to begin with;
    ``place``: not in memory but there."""
    with tempfile.TemporaryDirectory(prefix="pylitebox-", dir=place or memory_directory()) as fresh:
        deep = Path(fresh, "0/1/2/3")
        deep.mkdir(parents=True)
        for path in [deep, *list(deep.parents)[:4]]:
            path.chmod(0o755)
        for number in range(prepared):
            _prepare(deep / str(number) / "w")
        yield deep


def _prepare(tree: Path) -> None:
    """What sequences on a workspace find: files, one with two names and one with a hole, directories, links."""
    (tree / "d" / "d").mkdir(parents=True)
    (tree / "a").write_bytes(b"lower" * 1000)
    (tree / "d" / "a").write_bytes(b"x" * 10)
    (tree / "d" / "b").hardlink_to(tree / "d" / "a")
    (tree / "b").symlink_to("d/a")
    (tree / "d" / "c").symlink_to("..")
    with (tree / "c").open("wb") as sparse:
        sparse.truncate(100_000)
    for path in [tree.parent, *tree.parent.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)


def on_host(executor: Path, *, prepared: bool = False, place: Path | None = None) -> Execute:
    """Runs on the host's kernel; ``prepared``: on trees with files; ``place``: on the file system of this directory."""

    def execute(sequences: Sequence[Lines]) -> list[list[str]]:
        with work_directory(len(sequences) if prepared else 0, place) as directory:
            command = [executor, directory, *["prepared"] * prepared]
            output = _output(partial(subprocess.run, command, cwd="/"), sequences)
        return decode(output, len(sequences), prepared=prepared)

    return execute


def in_sandbox(executor: Path, *, prepared: bool = False) -> Execute:
    """Runs in a sandbox of its own, as the same user: in its /tmp, or ``prepared`` on a copy-on-write workspace."""

    def execute(sequences: Sequence[Lines]) -> list[list[str]]:
        with work_directory(len(sequences) if prepared else 0) as directory:
            mounts = [pylitebox.Mount(executor.parent, "/opt/differential")]
            if prepared:
                mounts.append(pylitebox.Mount(directory, "/work", "cow"))
            command = ["/opt/differential/executor", *(["/work", "prepared"] if prepared else ["/tmp"])]
            user = (os.getuid(), os.getgid())
            output = _output(partial(pylitebox.run, command, mounts=mounts, user=user), sequences)
        return decode(output, len(sequences), prepared=prepared)

    return execute


def _output(run: Callable[..., Any], sequences: Sequence[Lines]) -> bytes:
    """What the executor prints in time."""
    timeout = TIMEOUT + PER_SEQUENCE * len(sequences)
    try:
        output = run(input=encode(sequences), capture_output=True, check=True, timeout=timeout).stdout
    except subprocess.TimeoutExpired as late:
        output = late.output or b""
    assert isinstance(output, bytes)
    return output


def differences(sides: Sides, sequences: Sequence[Lines]) -> list[Difference]:
    """Of each sequence, the pairs of lines in which the two kernels differ."""
    found = []
    for first, second in zip(*(side(sequences) for side in sides), strict=True):
        pairs = zip_longest(first, second, fillvalue="(nothing)")
        found.append([(a, b) for a, b in pairs if a != b])
    return found


def shrink(sides: Sides, lines: Lines) -> list[str]:
    """A sequence without lines whose absence leaves a difference."""
    best, size = list(lines), max(len(lines) // 2, 1)
    while size:
        shorter = [best[:start] + best[start + size :] for start in range(0, len(best), size) if size < len(best)]
        found = differences(sides, shorter) if shorter else []
        left = next((left for left, pairs in zip(shorter, found, strict=True) if pairs), None)
        best, size = (best, size // 2) if left is None else (left, size)
    return best
