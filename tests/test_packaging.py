"""What is built: an sdist, a wheel with the stub for both libcs, a pure wheel without it; each from a clean copy."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="pip install build")
pytest.importorskip("hatchling", reason="pip install hatchling")

ROOT = Path(__file__).parent.parent
STUB = "pylitebox/south/native/stub"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unpacked sdist, made from a copy of the checkout that has no stub."""
    copy = tmp_path_factory.mktemp("checkout")
    rubbish = shutil.ignore_patterns(".git", "stub", ".*_cache", "__pycache__", "results")
    shutil.copytree(ROOT, copy, dirs_exist_ok=True, ignore=rubbish)
    made = run_build(copy, "--sdist")
    (copy / "unpacked").mkdir()
    subprocess.run(["tar", "xf", made, "-C", copy / "unpacked"], check=True)
    return next((copy / "unpacked").iterdir())


def run_build(source: Path, kind: str, **environ: str) -> Path:
    output = source / "out"
    shutil.rmtree(output, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", output, source],
        check=True, capture_output=True, env={**os.environ, **environ},
    )  # fmt: skip
    return next(output.iterdir())


def test_sdist_builds_the_stub_itself(sdist: Path) -> None:
    names = {str(path.relative_to(sdist)) for path in sdist.rglob("*")}
    assert "src/pylitebox/south/native/guest/stub.c" in names
    assert {"hatch_build.py", "LICENSE", "README.md", "tests/test_packaging.py", ".ci/run"} <= names
    assert f"src/{STUB}" not in names


@pytest.mark.skipif(not shutil.which("cc"), reason="cc is missing: apt-get install gcc")
def test_wheel_with_the_stub(sdist: Path) -> None:
    wheel = run_build(sdist, "--wheel")
    tags = wheel.stem.split("-")[2:]
    assert tags[:2] == ["py3", "none"]
    assert {part.rpartition("_x86_64")[0] for part in tags[2].split(".")} >= {"manylinux_2_17", "musllinux_1_1"}
    with zipfile.ZipFile(wheel) as archive:
        stub = archive.getinfo(STUB)
        assert stub.external_attr >> 16 & 0o111 == 0o111
        assert archive.read(STUB)[:5] == b"\x7fELF\x02"
        assert "pylitebox/py.typed" in archive.namelist()
        assert not any(name.startswith("tests/") for name in archive.namelist())


def test_pure_wheel_without_it(sdist: Path) -> None:
    wheel = run_build(sdist, "--wheel", PYLITEBOX_BUILD="pure")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert STUB not in archive.namelist()


def test_wheels_are_reproducible(sdist: Path) -> None:
    """The same checkout gives the same bytes."""
    first = run_build(sdist, "--wheel").read_bytes()
    (sdist / "src" / STUB).unlink(missing_ok=True)
    assert run_build(sdist, "--wheel").read_bytes() == first
