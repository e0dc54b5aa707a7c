"""The table of system calls as people read it: ``pylitebox syscalls`` and docs/syscalls.md, rendered from the rows.

    python3 -m pylitebox.north.linux.support > docs/syscalls.md
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.north.linux import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pylitebox.north.linux.table import Row

_PREFACE = """\
# System calls

Generated from the table of calls (`python3 -m pylitebox.north.linux.support`); do not edit.

*full* calls behave as man pages say, and name the test that checks it; *partial* ones say what is missing;
*unsupported* ones always fail with the error given. A number that is not listed answers ENOSYS. Where "native" is
noted, the native platform lets the host kernel run the call, or some forms of it.
"""


def rows() -> list[Row]:
    """Every row, by name."""
    from pylitebox.north.linux.personality import load_families

    load_families()
    return sorted(table.ROWS.values(), key=lambda row: row.name)


def note(row: Row) -> str:
    """What there is to say about a row beyond its level."""
    support = row.support
    parts = []
    if support.errno:
        parts.append(f"{E.NAMES[support.errno]}: {support.note}")
    elif support.note:
        parts.append(support.note)
    if row.native:
        parts.append(f"native: {row.native}")
    return "; ".join(parts)


def counts(entries: Iterable[Row]) -> dict[str, int]:
    """How many calls there are of each level."""
    result = {"full": 0, "partial": 0, "unsupported": 0}
    for row in entries:
        result[row.support.level] += 1
    return result


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def render_table(entries: list[Row]) -> str:
    lines = [f"{'CALL':<24}{'X86-64':>7}{'AARCH64':>9}  {'SUPPORT':<12}NOTE"]
    lines += [
        f"{row.name:<24}{_number(row.x86_64):>7}{_number(row.aarch64):>9}  {row.support.level:<12}{note(row)}".rstrip()
        for row in entries
    ]
    lines.append(_total(entries))
    return "\n".join(lines) + "\n"


def render_json(entries: list[Row]) -> str:
    return (
        json.dumps(
            [
                {
                    "name": row.name,
                    "x86_64": row.x86_64,
                    "aarch64": row.aarch64,
                    "support": row.support.level,
                    "note": row.support.note,
                    "errno": E.NAMES[row.support.errno] if row.support.errno else None,
                    "family": row.family,
                    "native": row.native,
                    "test": row.test,
                }
                for row in entries
            ],
            indent=1,
        )
        + "\n"
    )


def render_markdown(entries: list[Row]) -> str:
    lines = [_PREFACE, _total(entries), "", "| call | x86-64 | AArch64 | support | note |", "|---|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {_number(row.x86_64)} | {_number(row.aarch64)} | {row.support.level} | "
        f"{note(row).replace('|', chr(92) + '|')} |"
        for row in entries
    ]
    return "\n".join(lines) + "\n"


def _total(entries: list[Row]) -> str:
    have = counts(entries)
    return f"{len(entries)} calls: {have['full']} full, {have['partial']} partial, {have['unsupported']} unsupported."


FORMATS: dict[str, Callable[[list[Row]], str]] = {
    "table": render_table,
    "json": render_json,
    "markdown": render_markdown,
}


def render(form: str = "table") -> str:
    """All rows as ``form``: table, json or markdown."""
    return FORMATS[form](rows())


if __name__ == "__main__":
    import sys

    sys.stdout.write(render("markdown"))
