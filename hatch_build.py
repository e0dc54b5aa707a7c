"""The build hook: compiles the stub, the one program of ours that lives inside native guest processes.

The stub is a plain static ELF file, no extension module: one wheel per architecture serves every Python and both libcs.
It is built in place, so that an editable checkout has it as well. ``python hatch_build.py`` builds it by hand.

- On Linux x86-64 with ``$CC``, ``cc``, ``gcc`` or ``clang``, by that; without any, by the ``ziglang`` wheel, which is a
  build requirement only then.
- Elsewhere, and with ``PYLITEBOX_BUILD=pure``, the wheel is pure: it has every platform but the native one.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, outside a build
    BuildHookInterface = object  # type: ignore[assignment, misc]

NATIVE = Path(__file__).parent / "src/pylitebox/south/native"
STUB = NATIVE / "stub"

#: Static and freestanding, so any libc and any kernel will do; these are the oldest that installers still know.
TAG = "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.musllinux_1_1_x86_64"

COMPILE = shlex.split(
    "-O2 -g0 -s -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -mgeneral-regs-only"
    " -fcf-protection=none -mcmodel=large -fno-asynchronous-unwind-tables -Wall -Wextra"
)
#: The stub's address is part of the filter: its calls are told from the guest's by it (south/native/filters.py).
BASE = "0x600000000000"
LINK = f"-Wl,-Ttext-segment={BASE},-z,noexecstack,--build-id=none"
LINK_LLD = f"-Wl,--image-base={BASE},-z,noexecstack,--build-id=none"
#: The headers that zig brings, which it leaves out for a freestanding program.
ZIG_HEADERS = ("x86_64-linux-musl", "generic-musl", "x86-linux-any", "any-linux-any")


def wants_stub() -> bool:
    """Whether this build carries the native platform."""
    return (
        os.environ.get("PYLITEBOX_BUILD") != "pure"
        and sys.platform == "linux"
        and platform.machine() in ("x86_64", "AMD64")
    )


def find_compiler() -> list[str] | None:
    """The C compiler of this machine, or None."""
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    return next(([found] for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def zig() -> list[str]:
    """The compiler of the ziglang wheel, with the kernel's headers."""
    import ziglang

    include = Path(ziglang.__file__).parent / "lib" / "libc" / "include"
    headers = [word for name in ZIG_HEADERS for word in ("-isystem", str(include / name))]
    return [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", *headers]


def build_stub() -> Path:
    """Compile the stub in place, unless it is newer than its sources. Raises CalledProcessError."""
    sources = sorted((NATIVE / "guest").glob("*.c"))
    newest = max(file.stat().st_mtime for file in [*NATIVE.glob("guest/*"), Path(__file__)])
    if STUB.exists() and STUB.stat().st_mtime > newest:
        return STUB
    compiler = find_compiler()
    command, link = (compiler, LINK) if compiler else (zig(), LINK_LLD)
    temporary = STUB.with_name(f"stub.{os.getpid()}")
    try:
        subprocess.run([*command, *COMPILE, link, "-o", str(temporary), *map(str, sources)], check=True)
        temporary.chmod(0o755)
        temporary.replace(STUB)  # a running sandbox keeps the file that it has
    finally:
        temporary.unlink(missing_ok=True)
    return STUB


class StubHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls: for the wheel and for the editable install alike."""

    def dependencies(self) -> list[str]:
        """Further build requirements of this machine."""
        if self.target_name == "wheel" and wants_stub() and find_compiler() is None:
            return ["ziglang>=0.13"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the stub and tag the wheel after it."""
        if self.target_name != "wheel" or not wants_stub():
            return
        build_stub()
        build_data["pure_python"] = False
        build_data["tag"] = TAG
        build_data["artifacts"].append("/src/pylitebox/south/native/stub")


if __name__ == "__main__":
    print(build_stub())
