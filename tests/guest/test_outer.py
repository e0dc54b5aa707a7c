"""The outer filters must deny what they say, or the variants prove nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

OUTER = Path(__file__).with_name("outer.py")
PROBE = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def probe(number, *args):
    result = libc.syscall(number, *(ctypes.c_long(a) for a in args))
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
print(probe(272, 0x10000000), probe(56, 0x10000011, 0, 0, 0, 0), probe(435, 0, 0), probe(39), probe(999),
      probe(323, 1), probe(425, 1, 0), probe(135, 0xffffffff), probe(135, 0x40000),
      probe(41, 40, 1, 0), probe(41, 1, 1, 0))
"""


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("docker", "EPERM EPERM ENOSYS ok EPERM EPERM EPERM ok EPERM EPERM ok"),
        ("no-namespaces", "EPERM EPERM ENOSYS ok ENOSYS"),
    ],
)
def test_profile(profile: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, OUTER, profile, sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split()[: len(expected.split())] == expected.split()
