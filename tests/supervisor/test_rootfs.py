"""What the supervisor makes of an archive, and that it needs no host call for it that its filter would refuse."""

import gzip
import io
import os
import tarfile

import pytest

from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.south.hostfiles import PosixFile
from pylitebox.south.native.surface import SUPERVISOR
from pylitebox.supervisor import rootfs
from pylitebox.supervisor.rootfs import ArchiveRoot, RootfsError
from tests.kernel.fs.support import Tree
from tests.supervisor.test_confine import python, user  # noqa: F401 - a fixture


def tar_of(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def serve(fd):
    return PosixFile(fd, (1, fd), None, write=False)


def root(tmp_path, data, limit=1 << 30):
    path = tmp_path / "archive"
    path.write_bytes(data)
    spool = os.open(tmp_path / "spool", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    return ArchiveRoot("/the/archive", [os.open(path, os.O_RDONLY), spool], limit)


def test_a_compressed_archive_is_unpacked_once_and_told_about(tmp_path, monkeypatch):
    monkeypatch.setattr(rootfs, "_INTERVAL", 0.0)
    told = []
    made = root(tmp_path, gzip.compress(tar_of(f=b"content" * 100_000)))
    source, spool = made.fds
    tree = Tree(lambda kernel: OverlayFs(kernel, made.file_system(kernel, serve, told.append)))
    assert made.fds == [spool]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source)
    assert told
    assert ops.stat(ops.resolve(tree.root, b"/f")).size == 700_000


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "rootfs /the/archive holds no file"),
        (b"no tar" * 1000, "rootfs /the/archive is no tar archive, plain or compressed with gzip, xz or zstd"),
        (gzip.compress(b"no tar" * 1000), "rootfs /the/archive is no tar archive, plain or compressed .*"),
        (tar_of(f=b"x" * 2000)[:1500], "rootfs /the/archive is cut off within 'f'"),
        (gzip.compress(tar_of(f=b"x"))[:-9], "rootfs /the/archive is cut off: its gzip data does not end"),
        (gzip.compress(bytes(3 << 20)), "rootfs /the/archive unpacks to more than 2097152 bytes: .*"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, data, sentence):
    made = root(tmp_path, data, 2 << 20)
    with pytest.raises(RootfsError, match=f"^{sentence}$"):
        Tree(lambda kernel: made.file_system(kernel, serve, lambda done: None))
    for fd in made.fds:
        os.close(fd)


WORK = """
import os, io, tarfile, gzip, lzma
from pylitebox.kernel.kernel import Kernel
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.kernel.fs.namespace import Namespace
from pylitebox.kernel.fs import opened
from pylitebox.south.hostfiles import PosixFile, Workers
from pylitebox.south.native.buffers import Memfd
from pylitebox.supervisor.rootfs import ArchiveRoot
import time

class Platform:
    monotonic_ns = staticmethod(time.monotonic_ns)
    realtime_ns = staticmethod(time.time_ns)
    random = staticmethod(lambda size: bytes(size))
    shared_buffer = staticmethod(Memfd)

buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as archive:
    for number in range(200):
        info = tarfile.TarInfo(f"d{number}/f")
        info.size = 50_000
        archive.addfile(info, io.BytesIO(bytes([number]) * 50_000))
roots = []
for pack in (bytes, gzip.compress, lzma.compress):
    file, spool = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    file.write(pack(buffer.getvalue()))
    file.seek(0)
    fds = [os.dup(file.fileno()), os.dup(spool.fileno())]
    roots.append(ArchiveRoot("x", fds[:1] if pack is bytes else fds, 1 << 30))
del buffer
rules = paths(**{"/proc": PROC}) if landlock_abi() else []
enclose(rules)
workers = Workers()
serve = lambda fd: PosixFile(fd, (1, fd), workers, write=False)
seal({0, 1, 2, *(fd for root in roots for fd in root.fds), *workers.descriptors()})
for root in roots:
    kernel = Kernel(Platform())
    namespace = Namespace(kernel, OverlayFs(kernel, root.file_system(kernel, serve, lambda done: None)))
    for number in range(200):
        file = ops.open(namespace.view, b"/d%d/f" % number, os.O_RDWR)
        file.references += 1
        while True:
            try:
                assert file.pread(60_000, 0) == bytes([number]) * 50_000
                source = file.inode.lower.map_source(write=False)
                break
            except Exception as error:
                assert type(error).__name__ == "WouldBlock", error
                time.sleep(0.001)
                workers.deliver()
        assert source.read_at(1, 49_999) == bytes([number])
        assert os.pread(source.descriptor(write=False), 1, 0) == bytes([number])
        try:
            os.pwrite(source.descriptor(write=False), b"x", 0)
        except OSError:
            pass
        else:
            raise AssertionError("a guest's descriptor can write")
        source.close()
        file.pwrite(b"above", 0)
        file.put()
print("ok")
"""


def test_all_is_done_behind_the_walls(user):  # noqa: F811
    """The archive is unpacked, indexed, read and mapped in a process under Landlock and the supervisor's filter, as it
    is for every sandbox."""
    assert python(WORK, user) == "ok"


def test_the_supervisors_surface_is_what_it_was():
    assert sum(rule.reaches_host for rule in SUPERVISOR) <= 32
