"""Scripts: the #! line (fs/binfmt_script.c, man 2 execve "Interpreter scripts")."""

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError

#: Linux looks at no more of a file (BINPRM_BUF_SIZE).
BINPRM_BUF_SIZE = 256
#: How many scripts may name each other as interpreters.
MAX_DEPTH = 5
_LAST = BINPRM_BUF_SIZE - 1
_BLANK = b" \t"


def is_script(head: bytes) -> bool:
    return head.startswith(b"#!")


def parse(head: bytes) -> tuple[bytes, bytes | None]:
    """The interpreter's path and its optional single argument; ENOEXEC if there is none or it may be cut off."""
    line = head[:BINPRM_BUF_SIZE].ljust(BINPRM_BUF_SIZE, b"\0")
    end = line.find(b"\n")
    if end < 0 or b"\0" in line[:end]:
        # No end of line: all is well if the interpreter's name is seen to end.
        name = _skip_blanks(line, 2, _LAST)
        if name > _LAST or _terminator(line, name, _LAST) > _LAST:
            raise KernelError(E.ENOEXEC)
        end = _LAST
    while line[end - 1] in _BLANK:
        end -= 1
    name = _skip_blanks(line, 2, end)
    if name >= end:
        raise KernelError(E.ENOEXEC)
    separator = _terminator(line, name, end)
    argument: bytes | None = None
    if separator <= end and line[separator]:
        start = _skip_blanks(line, separator, end)
        if start <= end:
            argument = line[start:end].partition(b"\0")[0]
    return line[name : min(separator, end)], argument


def _skip_blanks(line: bytes, start: int, last: int) -> int:
    """The first byte from ``start`` to ``last`` that is no blank, else ``last + 1``."""
    while start <= last and line[start] in _BLANK:
        start += 1
    return start


def _terminator(line: bytes, start: int, last: int) -> int:
    """The first blank or NUL from ``start`` to ``last``, else ``last + 1``."""
    while start <= last and line[start] not in b" \t\0":
        start += 1
    return start
