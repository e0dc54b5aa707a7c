"""The platforms that can run a sandbox: one row each, best first. ``auto`` is the first that works here.

A row says what the host lacks (cheaply: every start asks; `pylitebox doctor` looks closer), and makes the platform
from what the supervisor has opened for it. A platform that is added gets a row.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from pylitebox.kernel.errors import KernelError
from pylitebox.south.start import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import HostedPlatform
    from pylitebox.south.emulator.platform import EmulatorPlatform
    from pylitebox.south.kvm.platform import KvmPlatform
    from pylitebox.south.native.platform import NativePlatform

AUTO = "auto"
#: Guest memory where it is in one piece, unless another size is asked for; the host gives what is touched.
DEFAULT_MEMORY = 1 << 30
_KVM = "/dev/kvm"
_ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"


class PlatformError(Exception):
    """There is no such platform, or none works here; the message is one sentence."""


class Ingredients(NamedTuple):
    """What a supervisor opens before it is confined, for whatever platform."""

    stub: str  # a path to the native stub program that holds in confinement
    urandom: int | None  # a descriptor of /dev/urandom
    local: bool  # calls may be answered before the kernel sees them
    memory: int  # bytes for all guests together, where the platform has them in one piece


class Row(NamedTuple):
    name: str
    about: str
    #: What the host lacks for it, as in "the native platform needs ..."; None if it should work.
    needs: Callable[[], str | None]
    make: Callable[[Ingredients], HostedPlatform]
    #: It needs the native stub program.
    stub: bool = False
    #: It is made before the walls, since it opens what they hide.
    early: bool = False
    #: What its supervisor's filter allows beside the rest (south/native/surface.py).
    groups: tuple[str, ...] = ()
    #: It keeps what it has translated of code by its address: code has the same places in all programs of a sandbox.
    translates: bool = False
    #: What doctor finds when it looks closer; StartError.
    look: Callable[[], str] | None = None


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

    stub, urandom, local, _ = ingredients
    return NativePlatform(stub=stub, landlock=confine.landlock_attributes(), urandom=urandom, local=local)


def _kvm_needs() -> str | None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "Linux on x86-64"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return f"{_KVM}, and the right to use it"
    return None


def _kvm(ingredients: Ingredients) -> KvmPlatform:
    from pylitebox.north.linux import managed  # noqa: F401 - the kernel's side of it, while modules can be opened
    from pylitebox.south.kvm.host import HypervisorError
    from pylitebox.south.kvm.platform import KvmPlatform

    try:
        return KvmPlatform(memory=ingredients.memory, urandom=ingredients.urandom)
    except HypervisorError as error:
        raise PlatformError(f"the platform kvm does not work here: {error}") from None
    except KernelError:
        raise PlatformError(f"the host does not give {ingredients.memory >> 20} MiB for guests") from None


def _kvm_look() -> str:
    from pylitebox.south.kvm.platform import probe

    return str(probe())


def _emulator_needs() -> str | None:
    from pylitebox.south.emulator.engine import EngineError, library

    try:
        library()
    except EngineError:
        return "the package unicorn (pip install 'pylitebox[emulator]')"
    return None


def _emulator(ingredients: Ingredients) -> EmulatorPlatform:
    from pylitebox.north.linux import managed  # noqa: F401 - as above
    from pylitebox.south.emulator.engine import EngineError
    from pylitebox.south.emulator.platform import EmulatorPlatform

    try:
        return EmulatorPlatform(memory=ingredients.memory, urandom=ingredients.urandom)
    except EngineError as error:
        raise PlatformError(f"the platform emulator does not work here: {error}") from None


PLATFORMS: tuple[Row, ...] = (
    Row("native", "Linux programs as processes of the host, at full speed", _native_needs, _native, stub=True),
    Row(
        "kvm", "a virtual machine without a guest kernel", _kvm_needs, _kvm, early=True, groups=("kvm",),
        look=_kvm_look,
    ),
    Row(
        "emulator", "a CPU in software, wherever Python runs", _emulator_needs, _emulator, early=True,
        groups=("emulator",), translates=True,
    ),
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
    raise PlatformError(f"there is no platform {name!r} here; {_names(rows)}")


def any_works(rows: tuple[Row, ...] = PLATFORMS) -> bool:
    return any(row.needs() is None for row in rows)


def _names(rows: tuple[Row, ...]) -> str:
    names = [row.name for row in rows]
    return f"{names[0]} is one" if len(names) == 1 else f"there are {', '.join(names)}"


def report(rows: tuple[Row, ...] = PLATFORMS) -> str:
    """The platforms, for ``pylitebox doctor``."""
    lines = ["platforms, best first (--platform auto takes the first that works):"]
    width = max(len(row.name) for row in rows)
    for row in rows:
        needs = row.needs()
        detail = None
        if needs is None and row.look is not None:
            try:
                detail = row.look()
            except (StartError, PlatformError, KernelError) as error:
                needs = f"more than there is: {error}"
        lines.append(f"  {'ok  ' if needs is None else 'none'}  {row.name:<{width}}  {row.about}")
        if detail is not None:
            lines.append(f"        {'':<{width}}  {detail}")
        if needs is not None:
            lines.append(f"        {'':<{width}}  -> needs {needs}")
    return "\n".join(lines) + "\n"
