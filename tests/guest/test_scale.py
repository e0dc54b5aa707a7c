"""Large numbers of everything: the host's output, and memory that is bounded. See scale.py."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.harness import ENVIRON, Runner, need
from tests.guest.scale import SCALES, make_tree, run

NAMES = [name for name, scale in SCALES.items() if scale.gate or "PYLITEBOX_LONG" in os.environ]


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A directory that every user may enter."""
    path = Path(tempfile.mkdtemp(prefix="pylitebox-scale-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_host_in_bounded_memory(runner: Runner, name: str, fresh: Path) -> None:
    scale = SCALES[name]
    need(scale.argv[0])
    options = []
    if scale.workspace:
        make_tree(fresh)
        options = [f"--mount={fresh}:/ws:cow", "--cwd=/ws"]
    ours = run(runner.command(scale.argv, *options), runner.environ(), "/")
    expected = run(scale.argv, ENVIRON, str(fresh))
    assert (ours.status, ours.output) == (expected.status, expected.output)
    assert ours.status == 0
    assert 0 < ours.peak_mib < scale.peak_mib
