"""Which call sites of a program are patched (native's stub): those that are used often, unless that is turned off."""

import os
import subprocess
import sys

import pytest

LOOK = """
import ctypes
code = ctypes.CDLL(None)
for name in ("getpid", "getppid"):
    call = getattr(code, name)
    for _ in range({times}):
        call()
    print(hex(ctypes.string_at(call, 1)[0]), ctypes.string_at(call, 7)[5:].hex())
"""
MOV, JMP, SYSCALL = "0xb8", "0xe9", "0f05"


@pytest.mark.parametrize(("times", "fast", "first"), [(100, "1", JMP), (3, "1", MOV), (100, "0", MOV)])
def test_what_is_used_often_is_patched(times: int, fast: str, first: str) -> None:
    program = ["/usr/bin/python3", "-c", LOOK.format(times=times)]
    argv = [sys.executable, "-m", "pylitebox", "run", "--platform=native", "--", *program]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYLITEBOX_FAST": fast}
    )
    assert (done.stdout, done.stderr) == (f"{first} {SYSCALL}\n" * 2, "")
