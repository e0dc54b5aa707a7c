"""Make a release of a project without touching it: pylitebox purely as a library, on any operating system.

    python examples/release_tarball.py PROJECT OUT.tar VERSION

The project is mounted copy-on-write into a kernel of our own, which lives in this program. There the tree is changed as
a release needs it (caches removed, the version written into each source file, a manifest with checksums), by code that
could as well be written against ``os``. Not one byte of the project on the host changes. The result leaves as a tar
archive that is the same each time it is made.
"""

from __future__ import annotations

import hashlib
import io
import stat
import sys
import tarfile
from collections.abc import Iterator

import pylitebox

UNWANTED = {".git", ".venv", "__pycache__", "build", "dist"}


def release(project: str, archive: str, version: str) -> int:
    """Write the archive; how many files are in it."""
    with pylitebox.Posix(mounts=[pylitebox.Mount(project, "/src", "cow")], cwd="/src") as box:
        remove_unwanted(box)
        stamp(box, version)
        write_manifest(box)
        return export(box, archive, f"release-{version}")


def remove_unwanted(box: pylitebox.Posix) -> None:
    for directory, directories, files in box.walk(".", topdown=False):
        parts = set(directory.split("/"))
        for name in files + directories:
            path = box.path.join(directory, name)
            if not parts & UNWANTED and name not in UNWANTED:
                continue
            if name in directories and not box.path.islink(path):
                box.rmdir(path)
            else:
                box.unlink(path)


def stamp(box: pylitebox.Posix, version: str) -> None:
    """Write the version where sources say @VERSION@."""
    for path in files_of(box):
        if path.endswith((".py", ".md", ".txt")):
            with box.fopen(path, "r+b") as file:
                content = file.read()
                if b"@VERSION@" in content:
                    file.seek(0)
                    file.write(content.replace(b"@VERSION@", version.encode()))
                    file.truncate()


def write_manifest(box: pylitebox.Posix) -> None:
    lines = []
    for path in files_of(box):
        with box.fopen(path, "rb") as file:
            lines.append(f"{hashlib.sha256(file.read()).hexdigest()}  {path.removeprefix('./')}\n")
    with box.fopen("MANIFEST", "w") as manifest:
        manifest.writelines(lines)


def files_of(box: pylitebox.Posix) -> Iterator[str]:
    """The regular files of the tree, in an order that is always the same."""
    for directory, directories, files in box.walk("."):
        directories.sort()
        for name in sorted(files):
            path = box.path.join(directory, name)
            if not box.path.islink(path):
                yield path


def export(box: pylitebox.Posix, archive: str, top: str) -> int:
    """Write the tree of the kernel into a tar archive of the host."""
    count = 0
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for directory, directories, files in box.walk("."):
            directories.sort()
            for name in sorted([*files, *directories]):
                path = box.path.join(directory, name)
                status = box.lstat(path)
                info = tarfile.TarInfo(f"{top}/{path.removeprefix('./')}")
                info.mode = stat.S_IMODE(status.st_mode)
                content = b""
                if stat.S_ISLNK(status.st_mode):
                    info.type, info.linkname = tarfile.SYMTYPE, box.readlink(path)
                elif stat.S_ISDIR(status.st_mode):
                    info.type = tarfile.DIRTYPE
                else:
                    with box.fopen(path, "rb") as file:
                        content = file.read()
                    info.size = len(content)
                    count += 1
                tar.addfile(info, io.BytesIO(content))
    return count


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: release_tarball.py PROJECT OUT.tar VERSION")
    print(f"{release(*sys.argv[1:])} files in {sys.argv[2]}")
