"""The surroundings in which everything must work alike: name -> the command that makes them, or why not here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.guest import outer

OUTER = Path(outer.__file__).resolve()
ROOT = os.geteuid() == 0
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
CONTAINER = ["setpriv", "--inh-caps=-all", f"--bounding-set=-all,{','.join('+' + cap for cap in outer.CAPABILITIES)}"]


def beneath(profile: str) -> list[str]:
    """Under an outer filter."""
    return [sys.executable, str(OUTER), profile]


def one_cpu() -> list[str]:
    return ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]


#: A variant that needs root to be made is a skip for other users, whose plain run it is anyway.
VARIANTS: dict[str, list[str] | None] = {
    "root": [] if ROOT else None,
    "unprivileged": NOBODY if ROOT else [],
    "no user namespaces": [*beneath("no-namespaces"), *(NOBODY if ROOT else [])],
    "docker, root": [*beneath("docker"), *CONTAINER] if ROOT else None,
    "docker, unprivileged": [*beneath("docker"), *(NOBODY if ROOT else [])],
    "one cpu": one_cpu(),
    "each call seen": ["env", "PYLITEBOX_FAST=0"],
}
