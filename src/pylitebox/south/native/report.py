"""Show the surface tables: ``pylitebox surface`` and docs/surface.md, from the same data as the filters."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable

from pylitebox.south.native import filters
from pylitebox.south.native import surface as S

FORMATS = ("table", "json", "markdown")

_INTRODUCTION = {
    "guest": "Guest processes: arbitrary machine code, with the stub mapped among it. The host kernel runs these calls "
    "for them; every other call suspends the thread and is answered by the supervisor, which is their kernel. "
    '"From the stub\'s addresses" decides where a call goes and is no wall: guest code can map itself there, so each '
    "of these calls must be harmless with any arguments.",
    "template": "The stub that forks empty processes on order. It lives under the guest's filter from before there is "
    "any guest code; this is what it may do more until its second filter is installed.",
    "guardian": "The stub that ends all guests when the supervisor is gone. It never runs guest code. Any other call "
    "kills it.",
    "supervisor": "The Python process that holds the kernel, from the moment that its guests can run. Any other call "
    "fails with EPERM; calls that none of our code makes kill it.",
    "supervisor emulator": "Added for a sandbox of the emulator platform, whose guests run inside the supervisor; "
    "`ioctl` and what only processes of the host as guests need (`pidfd_open`, `process_vm_writev`, `tgkill`, `wait4` "
    "and their like) fail with EPERM.",
    "supervisor kvm": "For a sandbox of the kvm platform, whose guests run in a virtual machine that the supervisor "
    "made before its filter: `ioctl` here takes the place of the one above, and what only processes of the host as "
    "guests need (`pidfd_open`, `process_vm_writev`, `tgkill`, `wait4` and their like) fails with EPERM.",
    "supervisor host-write": "Added for a sandbox with a writable host directory (`--mount HOST:GUEST:rw`) only.",
}

_TITLE = """\
# What each role may ask of the host kernel

Generated from `src/pylitebox/south/native/surface.py` by `pylitebox surface --format markdown`; the seccomp filters are
compiled from the same data. Calls of another architecture (`int 0x80`) kill the process; x32 calls fail with ENOSYS.
"""


def rows(role: str) -> list[dict[str, str]]:
    """The calls that reach the host for a role."""
    return [
        {"name": rule.name, "conditions": rule.conditions, "reason": rule.reason}
        for rule in sorted(S.ROLES[role], key=lambda rule: rule.name)
        if rule.reaches_host
    ]


def render(style: str) -> str:
    """The whole surface as "table", "json" or "markdown" text, ending in a newline."""
    if style == "json":
        return json.dumps({role: rows(role) for role in S.ROLES}, indent=2) + "\n"
    if style == "markdown":
        return _markdown()
    if style == "table":
        return _table()
    raise ValueError(f"no format {style!r}: one of {', '.join(FORMATS)}")


def _table() -> str:
    lines: list[str] = []
    for role in S.ROLES:
        entries = rows(role)
        lines += ["", f"{role}: {len(entries)} calls"]
        for entry in entries:
            text = entry["reason"] + (f" [{entry['conditions']}]" if entry["conditions"] else "")
            lines += textwrap.wrap(text, 110, initial_indent=f"  {entry['name']:<20}", subsequent_indent=" " * 22)
    return "\n".join(lines[1:]) + "\n"


def _markdown() -> str:
    parts = [_TITLE]
    for role in S.ROLES:
        entries = rows(role)
        parts.append(f"## {role} ({len(entries)} calls)\n")
        parts.append(_INTRODUCTION[role] + "\n")
        parts.append("| call | when | why |\n| --- | --- | --- |")
        parts += [f"| `{e['name']}` | {e['conditions'] or 'always'} | {e['reason']} |" for e in entries]
        parts.append("")
    silent = [rule for rule in filters.guest_rules() if not rule.reaches_host]
    parts.append("## What never reaches the host from a guest\n")
    parts.append(
        _names("Answered by the filter with an errno", (r for r in silent if r.otherwise not in {S.TRAP, S.NOTIFY}))
    )
    parts.append(
        _names(
            "Trapped into the stub, which forwards them to the supervisor", (r for r in silent if r.otherwise == S.TRAP)
        )
    )
    parts.append("All other numbers: suspended and answered by the supervisor.\n")
    parts.append(_names("What kills a supervisor that makes it", S.HOSTILE))
    return "\n".join(parts)


def _names(title: str, rules: Iterable[S.Rule]) -> str:
    return f"{title}: " + ", ".join(f"`{name}`" for name in sorted(rule.name for rule in rules)) + ".\n"
