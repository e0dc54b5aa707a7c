"""Where the probe is run: on the host, under pylitebox, under runsc (gVisor) and under bwrap, as far as installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: Where pylitebox shows the probe's directory.
GUEST = "/opt/bench"


@dataclass(frozen=True)
class Surrounding:
    """``prefix`` runs a program; ``probe`` is the probe's path inside. ``clock``: programs inside can time themselves.
    ``missing``: why nothing can be measured."""

    name: str
    prefix: tuple[str, ...]
    probe: str
    clock: bool = True
    missing: str = ""


def surroundings(directory: Path) -> list[Surrounding]:
    """Those that this machine has, the host first. ``directory`` holds the probe."""
    probe = str(directory / "probe")
    ours = (sys.executable, "-m", "pylitebox", "run", f"--mount={directory}:{GUEST}:ro", "--")
    found = [Surrounding("host", (), probe), Surrounding("pylitebox", ours, f"{GUEST}/probe")]
    others = {
        "runsc": ("runsc", "--rootless", "--network=none", "--platform=ptrace", "do"),
        "bwrap": ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
    }
    return found + [Surrounding(name, prefix, probe) for name, prefix in others.items() if shutil.which(prefix[0])]


def build_probe(directory: Path) -> None:
    """Compile probe.c into ``directory``, readable by every user."""
    source = Path(__file__).with_name("probe.c")
    target = directory / "probe"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", target, source], check=True)
    directory.chmod(0o755)
    target.chmod(0o755)
