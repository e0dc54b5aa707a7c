"""The #! line: fs/binfmt_script.c's rules, and the host's own answers."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.north.linux import script

#: What follows #! before and behind the interpreter's path.
TAILS = [
    b"\n", b"", b" \n", b" ", b"\t\n", b" a\n", b" a", b" a b\n", b"  a  b  \n", b"\ta\tb\t\n", b" a\0b\n", b"\0a\n",
    b" \0a\n", b" \0", b" a\0\n", b"\r\n", b" a" + b"b" * 300, b" a" + b"b" * 300 + b"\n", b" " * 300,
    b" " * 300 + b"\n", b"a" * 300, b"a" * 300 + b"\n", b" " + b"x" * 150 + b" " * 200 + b"\n", b" \n#!x",
]  # fmt: skip
HEADS = [b"", b" ", b"\t ", b" " * 200, b" " * 254, b" " * 300]


def ours(head: bytes) -> tuple[bytes, bytes | None] | int:
    try:
        return script.parse(head)
    except KernelError as error:
        return error.errno


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program with a short path that prints its arguments; itself a script, since those may be nested."""
    folder = tmp_path_factory.mktemp("i")
    path = folder / "i"
    path.write_text(f"#!{sys.executable} -ISs\nimport sys\nsys.stdout.write(repr([a for a in sys.argv]))\n")
    path.chmod(0o755)
    return bytes(path)


@pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")
@pytest.mark.parametrize("head", HEADS, ids=lambda head: str(len(head)))
def test_lines_are_read_as_the_host_does(head: bytes, interpreter: bytes, tmp_path: Path) -> None:
    for tail in TAILS:
        line = b"#!" + head + interpreter + tail
        path = tmp_path / "s"
        path.write_bytes(line)
        path.chmod(0o755)
        try:
            out = subprocess.run([path, "last"], capture_output=True, timeout=10, check=True).stdout
        except OSError as error:
            host: object = error.errno
        else:
            _, *arguments, name, last = eval(out)
            assert (name, last) == (str(path), "last")
            host = (interpreter, arguments[0].encode() if arguments else None)
        mine: object = ours(line)
        if isinstance(mine, tuple) and mine[0] != interpreter:
            mine = E.ENOENT  # no such interpreter
        assert mine == host, (head, tail)


@pytest.mark.parametrize("line", [b"#!", b"#!\n", b"#! \t\n/bin/sh\n", b"#!\0/bin/sh\n", b"#! \0"])
def test_no_interpreter(line: bytes) -> None:
    result = ours(line)
    assert result == E.ENOEXEC or result[0] == b"", result  # an empty path is ENOENT when it is looked for


@given(st.text(alphabet="#!/abi \t\n\0\r", max_size=300))
def test_any_line_is_read_or_refused(text: str) -> None:
    result = ours(b"#!" + text.encode())
    if isinstance(result, tuple):
        path, argument = result
        assert not set(path) & set(b" \t\n\0")
        assert argument is None or b"\0" not in argument
        assert len(path) + len(argument or b"") < script.BINPRM_BUF_SIZE


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    ours(b"#!" + data)
