"""The examples do what they say."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def _contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_release_tarball(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "pkg/__pycache__").mkdir(parents=True)
    (project / ".git/objects").mkdir(parents=True)
    (project / ".git/objects/ab").write_bytes(b"blob")
    (project / "pkg/__pycache__/x.pyc").write_bytes(b"cache")
    (project / "pkg/__init__.py").write_text('__version__ = "@VERSION@"\n')
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    (project / "latest").symlink_to("pkg")
    before = _contents(project)
    archives = []
    for name in ("one.tar", "two.tar"):
        result = subprocess.run(
            [sys.executable, "-W", "error", EXAMPLES / "release_tarball.py", project, tmp_path / name, "1.2"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (result.stdout, result.stderr) == (f"3 files in {tmp_path / name}\n", "")
        archives.append((tmp_path / name).read_bytes())
    assert _contents(project) == before
    assert sorted(os.listdir(project)) == [".git", "latest", "pkg", "run.sh"]
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getnames() == [
            f"release-1.2/{name}" for name in ("MANIFEST", "latest", "pkg", "run.sh", "pkg/__init__.py")
        ]
        source = b'__version__ = "1.2"\n'
        stored, manifest = tar.extractfile("release-1.2/pkg/__init__.py"), tar.extractfile("release-1.2/MANIFEST")
        assert stored is not None
        assert manifest is not None
        assert stored.read() == source
        assert f"{hashlib.sha256(source).hexdigest()}  pkg/__init__.py" in manifest.read().decode().splitlines()
        assert tar.getmember("release-1.2/run.sh").mode == 0o755
        assert tar.getmember("release-1.2/latest").linkname == "pkg"
