"""Guests of two kinds: ``g`` runs each test twice, on the host's kernel and on ours, so that what a test says of our
kernel is known to be true of Linux; ``bench`` is ours alone, for what the host cannot be asked (waiting, holes in
memory, other users).
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pylitebox.abi.numbers import X86_64
from tests.north.bench import Argument, Bench, Guest

AnyGuest = Callable[..., int]
#: The user who runs the tests, as both kinds of guest see him; on a host without users, any but root.
UID, GID = (os.getuid(), os.getgid()) if hasattr(os, "getuid") else (1000, 1000)


class HostGuest:
    """Makes the same calls on the host, from this process, in a directory of its own."""

    def __init__(self) -> None:
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    def __call__(self, name: str, *arguments: Argument) -> int:
        registers: list[ctypes.c_long | ctypes.c_void_p] = []
        outputs: list[tuple[ctypes.Array[ctypes.c_char], bytearray]] = []
        kept = []
        for argument in arguments:
            if isinstance(argument, int):
                registers.append(ctypes.c_long(argument))
                continue
            data = argument.encode() if isinstance(argument, str) else bytes(argument)
            buffer = ctypes.create_string_buffer(data, len(data) + 1)
            kept.append(buffer)
            registers.append(ctypes.c_void_p(ctypes.addressof(buffer)))
            if isinstance(argument, bytearray):
                outputs.append((buffer, argument))
        result: int = self._syscall(ctypes.c_long(X86_64[name]), *registers)
        if result == -1:
            result = -ctypes.get_errno()
        for buffer, output in outputs:
            output[:] = buffer.raw[: len(output)]
        return result

    def place(self, data: bytes) -> int:
        """Put bytes into memory for good; their address."""
        buffer = ctypes.create_string_buffer(data, len(data) + 1)
        self._kept = [*getattr(self, "_kept", []), buffer]
        return ctypes.addressof(buffer)

    def peek(self, address: int, size: int) -> bytes:
        return ctypes.string_at(address, size)


def forked(run: Callable[[], Any]) -> Any:
    """What ``run`` gives in a child of this process, whatever it does to its limits and memory; through JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, json.dumps(run()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def open_fds(*, collect: bool = True) -> set[int]:
    """The descriptors of this process, without the one by which they are listed; ``collect``: not those either that
    earlier tests dropped."""
    if collect:
        gc.collect()
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else range(1024):
        try:
            os.fstat(int(name))
        except OSError:
            continue
        found.add(int(name))
    return found


@pytest.fixture(params=["kernel", "host"])
def g(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guest | HostGuest]:
    """A guest in an empty directory of its own, with umask 022, as the user who runs the tests."""
    if request.param == "kernel":
        yield Bench(uid=UID).guest()
        return
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the host is no Linux on x86-64")
    before, umask, cwd = open_fds(), os.umask(0o022), Path.cwd()
    os.chdir(tmp_path)
    try:
        yield HostGuest()
    finally:
        os.chdir(cwd)
        os.umask(umask)
        for fd in open_fds() - before:
            try:
                os.close(fd)
            except OSError:
                pass


@pytest.fixture
def bench() -> Bench:
    return Bench()
