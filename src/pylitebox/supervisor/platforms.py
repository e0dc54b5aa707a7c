"""The platforms that can run a sandbox: one row each, best first. ``auto`` is the first that works here.

A row says what the host lacks (cheaply: every start asks; `pylitebox doctor` looks closer), and makes the platform
from what the supervisor has opened for it. A platform that is added gets a row, and leaves PLANNED.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.south.native.platform import NativePlatform

AUTO = "auto"
#: Platforms of the design that have no row yet.
PLANNED = ("kvm", "emulator")
_ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"


class PlatformError(Exception):
    """There is no such platform, or none works here; the message is one sentence."""


class Ingredients(NamedTuple):
    """What a supervisor opens before it is confined, for whatever platform."""

    stub: str  # a path to the native stub program that holds in confinement
    urandom: int  # a descriptor of /dev/urandom
    local: bool  # calls may be answered before the kernel sees them


class Row(NamedTuple):
    name: str
    about: str
    #: What the host lacks for it, as in "the native platform needs ..."; None if it should work.
    needs: Callable[[], str | None]
    make: Callable[[Ingredients], NativePlatform]


def _native_needs() -> str | None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "Linux on x86-64"
    try:
        with open(_ACTIONS, "rb") as file:
            actions = file.read().split()
    except OSError:  # /proc is not whole: the start itself will tell
        return None
    return None if b"user_notif" in actions else "a kernel with seccomp user notification (Linux 5.19 or later)"


def _native(ingredients: Ingredients) -> NativePlatform:
    from pylitebox.south.native.platform import NativePlatform
    from pylitebox.supervisor import confine

    stub, urandom, local = ingredients
    return NativePlatform(stub=stub, landlock=confine.landlock_attributes(), urandom=urandom, local=local)


PLATFORMS: tuple[Row, ...] = (
    Row("native", "Linux programs as processes of the host, at full speed", _native_needs, _native),
)


def choose(name: str, rows: tuple[Row, ...] = PLATFORMS) -> Row:
    """The platform of this name, or for ``auto`` the first that works; PlatformError."""
    if name == AUTO:
        lacks = []
        for row in rows:
            needs = row.needs()
            if needs is None:
                return row
            lacks.append(f"{row.name} needs {needs}")
        raise PlatformError(f"no platform works on this host: {'; '.join(lacks)} (pylitebox doctor says more)")
    for row in rows:
        if row.name == name:
            needs = row.needs()
            if needs is not None:
                raise PlatformError(f"the platform {name} needs {needs} (pylitebox doctor says more)")
            return row
    if name in PLANNED:
        raise PlatformError(f"the platform {name} is not built in yet; {_names(rows)}")
    raise PlatformError(f"there is no platform {name!r} here; {_names(rows)}")


def _names(rows: tuple[Row, ...]) -> str:
    names = [row.name for row in rows]
    return f"{names[0]} is one" if len(names) == 1 else f"there are {', '.join(names)}"


def report(rows: tuple[Row, ...] = PLATFORMS) -> str:
    """The platforms, for ``pylitebox doctor``."""
    lines = ["platforms, best first (--platform auto takes the first that works):"]
    width = max(map(len, (*PLANNED, *(row.name for row in rows))))
    for row in rows:
        needs = row.needs()
        lines.append(f"  {'ok  ' if needs is None else 'none'}  {row.name:<{width}}  {row.about}")
        if needs is not None:
            lines.append(f"        {'':<{width}}  -> needs {needs}")
    built = {row.name for row in rows}
    lines += [f"  none  {name:<{width}}  not built in yet" for name in PLANNED if name not in built]
    return "\n".join(lines) + "\n"
