"""Fixtures of the guest tests: the platforms, the copied package, the compiled programs, and "nothing is left"."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitebox.supervisor.platforms import PlatformError, choose
from tests.guest import harness

#: Which platforms the guest tests run on that say nothing else: PYLITEBOX_PLATFORMS=native,...
PLATFORMS = os.environ.get("PYLITEBOX_PLATFORMS", "native").split(",")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("guest")


@pytest.fixture(scope="session")
def public_directory() -> Iterator[Path]:
    """A directory that every user can read, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="pylitebox-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def published(public_directory: Path) -> tuple[Path, str]:
    directory = public_directory / "package"
    directory.mkdir()
    return harness.publish(directory)


@pytest.fixture(scope="session")
def programs(public_directory: Path) -> Path:
    """The compiled test programs."""
    directory = public_directory / "programs"
    directory.mkdir()
    return harness.compile_programs(directory)


@pytest.fixture(params=PLATFORMS)
def runner(request: pytest.FixtureRequest, published: tuple[Path, str]) -> Iterator[harness.Runner]:
    """Runs programs on each platform, as the user who runs the tests; fails the test if it leaves a process. Skips it
    where the platform does not work."""
    package, interpreter = published
    try:
        choose(request.param)
    except PlatformError as error:
        pytest.skip(str(error))
    runner = harness.Runner(request.param, package, interpreter)
    yield runner
    assert runner.leftovers() == []
