"""Host directories, what a guest may see of them, and the writable layer above."""

from __future__ import annotations

import gc
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import RENAME_EXCHANGE
from pylitebox.kernel.errors import WouldBlock
from pylitebox.kernel.fs import hostfs, vfs
from pylitebox.kernel.fs import operations as op
from pylitebox.kernel.fs.hostfs import HostFs
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.south import hostfiles
from pylitebox.south.hostfiles import Workers, open_tree
from tests.kernel.fs.support import Tree, errno_of, opened


def read(who: Any, path: bytes) -> bytes:
    file = opened(op.open(who, path, os.O_RDONLY))
    try:
        data: bytes = file.read(1 << 20)
        return data
    finally:
        file.put()


def write(who: Any, path: bytes, data: bytes, flags: int = os.O_CREAT | os.O_TRUNC) -> None:
    file = opened(op.open(who, path, os.O_WRONLY | flags, 0o644))
    file.write(data)
    file.put()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A host tree, with a secret beside it that nobody may reach."""
    (tmp_path / "secret").write_text("SECRET")
    top = tmp_path / "top"
    (top / "dir/sub").mkdir(parents=True)
    (top / "file").write_text("host file")
    (top / "private").write_text("private")
    (top / "hidden").write_text("hidden")
    (top / "dir/inner").write_text("inner")
    (top / "locked").mkdir()
    (top / "locked/open").write_text("x")
    (top / "absolute").symlink_to(tmp_path / "secret")
    (top / "upwards").symlink_to("../secret")
    (top / "tofile").symlink_to("file")
    os.link(top / "file", top / "second")
    for path, mode in (("file", 0o4755), ("private", 0o600), ("hidden", 0o644), ("dir", 0o755), ("dir/sub", 0o755)):
        (top / path).chmod(mode)
    (top / "dir/inner").chmod(0o644)
    (top / "locked").chmod(0o700)
    top.chmod(0o755)
    return top


def _descriptors() -> int:
    """Open ones of this process, without those that earlier tests left to be collected."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def host(top: Path, **options: Any) -> Tree:
    return Tree(lambda kernel: HostFs(kernel, open_tree(top), **options))


def overlay(top: Path, **options: Any) -> Tree:
    hidden = {b"hidden"}.__contains__
    return Tree(lambda kernel: OverlayFs(kernel, HostFs(kernel, open_tree(top), hidden=hidden), **options))


# -- the view ---------------------------------------------------------------------------------------------------


def test_what_is_seen(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(top)  # a socket's path is short
        listener.bind("socket")
    os.mkfifo(top / "fifo")
    who = host(top, hidden={b"hidden"}.__contains__).root
    names = {name for name, _, _ in op.resolve(who, b"/").inode.readdir()}
    assert names == {b"dir", b"file", b"second", b"private", b"locked", b"absolute", b"upwards", b"tofile"}
    for name in (b"hidden", b"socket", b"fifo"):
        assert (name, errno_of(op.resolve, who, b"/" + name)) == (name, E.ENOENT)
    status = op.stat(op.resolve(who, b"/file"))
    assert (status.mode, status.uid, status.gid, status.size, status.nlink) == (0o100755, 0, 0, 9, 2)


def test_only_what_everyone_may_read(top: Path) -> None:
    """Root of the sandbox is nobody on the host."""
    who = host(top).root
    assert errno_of(op.open, who, b"/private", os.O_RDONLY) == E.EACCES
    assert errno_of(op.resolve, who, b"/locked/open") == E.EACCES
    assert errno_of(op.open, who, b"/locked", os.O_RDONLY) == E.EACCES
    layered = overlay(top).root
    assert errno_of(op.open, layered, b"/private", os.O_RDWR) == E.EACCES
    assert errno_of(op.resolve, layered, b"/locked/open") == E.EACCES
    op.chmod(layered, op.resolve(layered, b"/private"), 0o644)  # changes our copy's mode, not what may be read
    assert errno_of(op.open, layered, b"/private", os.O_RDONLY) == E.EACCES


@pytest.mark.parametrize("path", [b"/absolute", b"/upwards", b"/../secret", b"/dir/../../secret", b"/..//../secret"])
def test_nothing_leads_out(top: Path, path: bytes) -> None:
    for tree in (host(top), overlay(top), host(top, readonly=False, public_only=False)):
        assert errno_of(op.open, tree.root, path, os.O_RDONLY) == E.ENOENT


def test_names_are_single_components(top: Path) -> None:
    directory = open_tree(top)
    for name in (b"..", b".", b"", b"dir/inner", b"../secret", b"/etc/passwd"):
        for call in (directory.stat, directory.open, directory.directory, directory.readlink, directory.unlink):
            assert (name, errno_of(call, name)) == (name, E.ENOENT)
    assert errno_of(directory.open, b"absolute") == E.EACCES  # never followed
    assert errno_of(directory.directory, b"tofile") == E.ENOTDIR


def test_a_directory_swapped_for_a_link_is_not_followed(top: Path) -> None:
    directory = open_tree(top).directory(b"dir")
    directory.forget()
    (top / "dir").rename(top / "moved")
    (top / "dir").symlink_to(top.parent)
    assert errno_of(directory.stat, b"secret") == E.ESTALE


def test_descriptors_of_directories_are_bounded(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "MAX_OPEN_DIRECTORIES", 3)
    root = open_tree(top)
    for number in range(10):
        (top / f"d{number}").mkdir()
        (top / f"d{number}/f").touch()
    before = _descriptors()
    held = [root.directory(b"d%d" % number) for number in range(10)]
    assert _descriptors() - before == 3
    assert [directory.stat(b"f").st_size for directory in held] == [0] * 10


def test_links_of_host_files_are_counted_at_once(top: Path) -> None:
    tree = host(top, readonly=False)
    who = tree.root
    op.link(who, b"/file", b"/link2")
    op.link(who, b"/file", b"/third")
    for name, left in ((b"/file", 3), (b"/link2", 2), (b"/second", 1)):
        op.unlink(who, name)
        assert op.resolve(who, b"/third").inode.stat().nlink == left
    file = op.open(who, b"/third", os.O_RDONLY)
    file.references += 1
    op.unlink(who, b"/third")
    assert file.stat().nlink == 0
    file.put()


def test_readonly(top: Path) -> None:
    who = host(top).root
    assert errno_of(op.open, who, b"/file", os.O_WRONLY) == E.EROFS
    assert errno_of(op.mkdir, who, b"/new", 0o755) == E.EROFS
    assert errno_of(op.unlink, who, b"/file") == E.EROFS
    assert (top / "file").read_text() == "host file"


def test_changes_of_the_host_are_seen_after_a_second(top: Path) -> None:
    tree = overlay(top)
    assert errno_of(op.resolve, tree.root, b"/late") == E.ENOENT
    assert op.stat(op.resolve(tree.root, b"/file")).size == 9
    (top / "late").write_text("late")
    (top / "late").chmod(0o644)
    (top / "file").write_text("longer than before")
    (top / "dir/inner").unlink()
    tree.later(1.1)
    assert read(tree.root, b"/late") == b"late"
    assert op.stat(op.resolve(tree.root, b"/file")).size == 18
    assert errno_of(op.resolve, tree.root, b"/dir/inner") == E.ENOENT


def test_a_replaced_file_is_found_at_once(top: Path) -> None:
    tree = host(top)
    op.resolve(tree.root, b"/dir/inner")
    (top / "dir/fresh").write_text("fresh")
    (top / "dir/fresh").chmod(0o644)
    (top / "dir/fresh").rename(top / "dir/inner")
    assert read(tree.root, b"/dir/inner") == b"fresh"


def test_a_writable_mount_changes_the_host(top: Path) -> None:
    tree = host(top, readonly=False, public_only=False, owner=(1000, 1000))
    who = tree.user()
    write(who, b"/dir/new", b"new")
    op.mkdir(who, b"/made", 0o750)
    op.rename(who, b"/dir", b"/made/dir")
    op.symlink(who, b"target", b"/made/link")
    op.link(who, b"/made/dir/new", b"/made/linked")
    op.chmod(who, op.resolve(who, b"/made/linked"), 0o4711)
    op.utimens(who, op.resolve(who, b"/made/linked"), 5, 7)
    op.truncate(who, op.resolve(who, b"/made/linked"), 2)
    op.unlink(who, b"/made/dir/inner")
    assert (top / "made/dir/new").read_text() == "ne"
    assert (top / "made/dir/new").stat().st_mode == 0o100711  # no set-id bits reach the host
    assert (top / "made").stat().st_mode & 0o777 == 0o750
    assert os.readlink(top / "made/link") == "target"
    assert sorted(os.listdir(top / "made/dir")) == ["new", "sub"]
    assert op.path_of(who, op.resolve(who, b"/made/dir/sub")) == b"/made/dir/sub"


def test_reads_that_must_wait_are_finished_by_a_worker(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(1)
    file = open_tree(top, workers).open(b"file")
    real = os.preadv

    def cold(*arguments: Any) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", cold)
    woken: list[bool] = []
    file.ready.watch("test", lambda: woken.append(True))
    with pytest.raises(WouldBlock):
        file.read_at(4, 5)
    assert select.select([workers._wake_read], [], [], 10)[0]
    workers.deliver()
    assert (woken, file.read_at(4, 5)) == ([True], b"file")
    monkeypatch.setattr(os, "preadv", real)
    file.close()


def test_reads_are_not_cut_where_the_page_cache_ends(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 50
    (top / "file").write_bytes(data)
    workers = Workers(1)
    file = open_tree(top, workers).open(b"file")

    def one_page(fd: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        part = data[offset : min(offset + len(buffers[0]), (offset // 4096 + 1) * 4096)]
        buffers[0][: len(part)] = part
        return len(part)

    monkeypatch.setattr(os, "preadv", one_page)
    assert file.read_at(96, 4000) == data[4000:4096]
    for size in (200, 9000):  # two readers at one offset, each with its own idea of how much
        with pytest.raises(WouldBlock):
            file.read_at(size, 4000)
    while len(file._results) < 2:
        assert select.select([workers._wake_read], [], [], 10)[0]
        workers.deliver()
    assert (file.read_at(9000, 4000), file.read_at(200, 4000)) == (data[4000:], data[4000:4200])
    assert file.read_at(5000, 12288) == data[12288:]
    file.close()
    for fd in workers.descriptors():
        os.close(fd)


# -- the layer above --------------------------------------------------------------------------------------------


def test_writes_stay_in_the_layer(top: Path) -> None:
    who = overlay(top).root
    write(who, b"/file", b"HOST", flags=0)
    assert read(who, b"/file") == b"HOST file"
    assert read(who, b"/second") == b"HOST file"  # a hard link stays one
    write(who, b"/dir/inner", b"!", flags=os.O_APPEND)
    assert read(who, b"/dir/inner") == b"inner!"
    write(who, b"/dir/added", b"added")
    assert {n for n, _, _ in op.resolve(who, b"/dir").inode.readdir()} == {b"inner", b"added", b"sub"}
    assert ((top / "file").read_text(), (top / "dir/inner").read_text()) == ("host file", "inner")
    assert not (top / "dir/added").exists()


def test_a_file_opened_before_sees_what_is_written(top: Path) -> None:
    who = overlay(top).root
    before = opened(op.open(who, b"/file", os.O_RDONLY))
    identity = before.stat().ino
    write(who, b"/file", b"HOST", flags=0)
    assert before.read(9) == b"HOST file"
    assert before.stat().ino == identity == op.stat(op.resolve(who, b"/file")).ino
    before.put()


def test_removed_stays_removed(top: Path) -> None:
    tree = overlay(top)
    who = tree.root
    assert errno_of(op.rmdir, who, b"/dir") == E.ENOTEMPTY
    op.unlink(who, b"/dir/inner")
    op.rmdir(who, b"/dir/sub")
    op.rmdir(who, b"/dir")
    tree.later(5)
    assert errno_of(op.resolve, who, b"/dir") == E.ENOENT
    assert b"dir" not in {n for n, _, _ in op.resolve(who, b"/").inode.readdir()}
    op.mkdir(who, b"/dir", 0o755)  # hides what was there
    assert op.resolve(who, b"/dir").inode.readdir() == []
    assert errno_of(op.resolve, who, b"/dir/inner") == E.ENOENT


def test_lower_directories_are_renamed(top: Path) -> None:
    tree = overlay(top)
    who = tree.root
    op.mkdir(who, b"/made", 0o755)
    op.rename(who, b"/dir", b"/made/moved")
    tree.later(5)
    assert read(who, b"/made/moved/inner") == b"inner"
    write(who, b"/made/moved/sub/deep", b"deep")
    op.rename(who, b"/made/moved", b"/dir")
    assert (read(who, b"/dir/sub/deep"), read(who, b"/dir/inner")) == (b"deep", b"inner")
    op.rename(who, b"/file", b"/dir", flags=RENAME_EXCHANGE)
    assert (read(who, b"/dir"), read(who, b"/file/inner")) == (b"host file", b"inner")


def test_attributes_are_copied_on_change(top: Path) -> None:
    tree = overlay(top)
    who = tree.root
    op.chmod(who, op.resolve(who, b"/file"), 0o640)
    op.chown(who, op.resolve(who, b"/file"), 7, 8)
    op.utimens(who, op.resolve(who, b"/dir"), 1, 2)
    tree.later(5)
    status = op.stat(op.resolve(who, b"/second"))
    assert (status.mode, status.uid, status.gid, status.size) == (0o100640, 7, 8, 9)
    assert op.stat(op.resolve(who, b"/dir")).mtime_ns == 2
    assert read(who, b"/file") == b"host file"


def test_the_layer_is_bounded(top: Path) -> None:
    tree = overlay(top, size=1 << 16, entries=3)
    for number in range(3):
        op.mkdir(tree.root, b"/d%d" % number, 0o755)
    assert errno_of(op.mkdir, tree.root, b"/d3", 0o755) == E.ENOSPC
    op.rmdir(tree.root, b"/d0")
    write(tree.root, b"/f", b"x" * (1 << 16))
    file = opened(op.open(tree.root, b"/f", os.O_WRONLY | os.O_APPEND))
    assert errno_of(file.write, b"x") == E.ENOSPC
    op.unlink(tree.root, b"/f")
    assert tree.filesystem.space.used == 1 << 16  # type: ignore[attr-defined]  # still open
    file.put()
    del file
    assert tree.filesystem.space.used == 0  # type: ignore[attr-defined]


def test_absent_names_are_forgotten_in_time(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(vfs, "MAX_NEGATIVES", 10)
    tree = overlay(top)
    for number in range(1000):
        errno_of(op.resolve, tree.root, b"/none%d" % number)
    assert len(tree.filesystem.root_dentry.children) <= 10


# -- what is kept -----------------------------------------------------------------------------------------------


def test_a_listing_is_kept_until_its_directory_changes(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[bytes] = []
    plain = hostfiles.PosixDirectory.listdir

    def counted(self: hostfiles.PosixDirectory) -> list[tuple[bytes, int, int]]:
        listed.append(self.path)
        return plain(self)

    monkeypatch.setattr(hostfiles.PosixDirectory, "listdir", counted)
    os.utime(top / "dir", (1_600_000_000, 1_600_000_000))
    tree = host(top)

    def names() -> list[bytes]:
        return sorted(name for name, _, _ in op.resolve(tree.root, b"/dir").inode.readdir())

    assert names() == names() == [b"inner", b"sub"]
    assert listed == [b"dir"]
    (top / "dir/late").write_text("")
    tree.later(1.1)
    assert names() == [b"inner", b"late", b"sub"]
    # it has changed just now (the tree's clock is behind the host's): its time might not tell of the next change
    names()
    assert listed == [b"dir"] * 3


def test_descriptors_of_files_that_nobody_has_open_are_kept_and_bounded(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostfs, "MAX_IDLE", 2)
    for number in range(4):
        (top / f"f{number}").write_text(str(number))
        (top / f"f{number}").chmod(0o644)
    tree = host(top)
    before = _descriptors()
    for number in (0, 1, 2, 3, 2):
        assert read(tree.root, b"/f%d" % number) == b"%d" % number
    assert [inode.path for inode in tree.kernel.idle_files] == [b"f3", b"f2"]
    assert _descriptors() == before + 2
    hostfs.forget_idle(tree.kernel)
    assert _descriptors() == before
    assert read(tree.root, b"/f3") == b"3"


@pytest.mark.parametrize("make", [host, overlay])
def test_names_that_nobody_uses_are_forgotten(
    top: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Tree]
) -> None:
    """Those in use stay the same object: what becomes of the name is seen by whoever has it."""
    monkeypatch.setattr(vfs, "MAX_NAMES", 20)
    for number in range(300):
        (top / f"d{number % 3}" / "deep").mkdir(parents=True, exist_ok=True)
        (top / f"d{number % 3}" / "deep" / str(number)).write_text(str(number))
    tree = make(top)
    file = opened(op.open(tree.root, b"/d1/deep/1", os.O_RDONLY))
    mine = op.resolve(tree.root, b"/d2")
    for number in range(300):
        path = b"/d%d/deep/%d" % (number % 3, number)
        assert op.resolve(tree.root, path).inode.size == len(str(number))
    names = sum(len(op.resolve(tree.root, b"/d%d/deep" % number).dentry.children) for number in range(3))
    assert 0 < names <= 20
    assert op.resolve(tree.root, b"/d1/deep/1") == file.location
    assert op.resolve(tree.root, b"/d2") == mine
    assert file.read(10) == b"1"
    assert op.path_of(tree.root.fs.root, file.location) == b"/d1/deep/1"
    file.put()
