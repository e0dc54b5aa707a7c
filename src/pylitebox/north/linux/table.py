"""The table of system calls: one row each, which drives dispatch, decoding, traces and documentation.

    @syscall("openat", x86_64=257, aarch64=56, support=Full)
    def openat(task: Task, dirfd: DirFd, path: Path, flags: OpenFlags, mode: Mode) -> Result: ...

A handler returns a result (>= 0), raises KernelError, returns a blocking call (kernel/wait.py), or None when the
platform finishes the call. Its annotations after ``task`` are argument kinds (args.py): at most six. The modules that
hold rows must not use ``from __future__ import annotations``, since the kinds are read from the annotations.

A decoder is compiled from the kinds when a row is first called: start-up pays only for what a guest uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import Result
    from pylitebox.north.linux.args import Kind

#: A row's entry: (task, the six registers) -> what the handler returned.
Entry = Callable[["Task", tuple[int, int, int, int, int, int]], "Result"]
Decode = Callable[["Task", tuple[int, int, int, int, int, int]], tuple[object, ...]]


class Support(NamedTuple):
    """How far a call is implemented: ``level`` is full, partial or unsupported; ``note`` says what is missing."""

    level: str
    note: str = ""
    errno: int = 0


Full = Support("full")


def Partial(gap: str) -> Support:  # noqa: N802 - reads as a type in a row
    """Implemented but for ``gap``."""
    return Support("partial", gap)


def Unsupported(errno: int, reason: str) -> Support:  # noqa: N802
    """Always fails with ``errno``."""
    return Support("unsupported", reason, errno)


class Row(NamedTuple):
    """One system call. ``test`` names the differential test of a Full row; ``native`` says that the native
    platform lets the host kernel run it (always, or for some arguments)."""

    name: str
    x86_64: int | None
    aarch64: int | None
    support: Support
    handler: Callable[..., Result] | None
    family: str
    test: str = ""
    native: str = ""
    kinds: tuple[tuple[str, Kind], ...] = ()

    def entry(self) -> Entry:
        """The compiled decoder in front of the handler."""
        entry: Entry = _compile(self, "handler({arguments})")
        return entry

    def decoder(self) -> Decode:
        """The arguments alone, decoded, for traces."""
        decode: Decode = _compile(self, "({arguments})", leading_task=False)
        return decode


#: Every row, by name.
ROWS: dict[str, Row] = {}

H = TypeVar("H", bound=Callable[..., object])


def syscall(
    name: str, *, x86_64: int | None, aarch64: int | None, support: Support, test: str = "", native: str = ""
) -> Callable[[H], H]:
    """Declare the decorated function as the handler of a system call. A handler may have several rows."""

    def declare(handler: H) -> H:
        family = handler.__module__.rpartition(".")[2]
        _add(Row(name, x86_64, aarch64, support, handler, family, test, native, _kinds(handler)))  # type: ignore[arg-type]
        return handler

    return declare


def _kinds(handler: Callable[..., object]) -> tuple[tuple[str, Kind], ...]:
    return tuple(
        (argument, annotation.__metadata__[0])
        for argument, annotation in handler.__annotations__.items()
        if argument not in ("task", "return")
    )


#: Handlers for platforms whose memory the kernel manages, by name; their rows are the others'.
MANAGED: dict[str, Row] = {}


def managed(name: str) -> Callable[[H], H]:
    """Declare the decorated function as the handler of a row where the kernel manages memory (managed.py)."""

    def declare(handler: H) -> H:
        MANAGED[name] = ROWS[name]._replace(handler=handler, kinds=_kinds(handler))  # type: ignore[arg-type]
        return handler

    return declare


def unsupported(name: str, *, x86_64: int | None, aarch64: int | None, errno: int, reason: str) -> None:
    """Declare a call that always fails with ``errno``."""
    _add(Row(name, x86_64, aarch64, Unsupported(errno, reason), None, "unsupported"))


def _add(row: Row) -> None:
    if row.name in ROWS:
        raise ValueError(f"{row.name} has two rows")
    ROWS[row.name] = row


def _compile(row: Row, template: str, *, leading_task: bool = True) -> Any:
    if row.handler is None:
        result = -row.support.errno
        return (lambda task, a: result) if leading_task else (lambda task, a: a)
    parts = ["task"] if leading_task else []
    parts += [re.sub(r"\bx\b", f"a[{i}]", kind.decode) for i, (_, kind) in enumerate(row.kinds)]
    arguments = ", ".join(parts)
    if not leading_task and len(parts) == 1:
        arguments += ","
    scope: dict[str, object] = {"handler": row.handler}
    source = f"def entry(task, a):\n    return {template.format(arguments=arguments)}\n"
    exec(compile(source, f"<decoder of {row.name}>", "exec"), scope)  # noqa: S102 - our own text, no guest data
    return scope["entry"]


def numbers(arch: str = "x86_64", *, managed: bool = False) -> dict[int, Row]:
    """The rows by their number on ``arch``; ``managed``: with the handlers for managed memory."""
    rows = ROWS | MANAGED if managed else ROWS
    return {n: row for row in rows.values() if (n := getattr(row, arch)) is not None}
