"""Path walks, opening, naming and renaming: the same operations on our tree and on the host's, errno by errno."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pylitebox.kernel.fs import operations as op
from tests.kernel.fs.support import Tree, errno_of, opened

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the host's Linux")

PATHS = [
    b"file", b"file/", b"file/.", b"file/..", b"dir", b"dir/", b"dir//", b"dir/.", b"dir/..", b"dir/../file",
    b"./dir/inner",
    b"none", b"none/", b"none/x", b"none/..", b"tofile", b"tofile/", b"todir", b"todir/", b"todir/inner", b"todir/..",
    b"dangling", b"dangling/", b"loop", b"loop/x", b"chain40", b"chain41", b"", b".", b"..//.", b"full", b"full/a",
    b"x" * 255, b"x" * 256, b"dir/" + b"y" * 256, b"a/" * 2047 + b"a", b"a/" * 2048, b"todangling", b"sub/up/file",
]  # fmt: skip


def _populate_host(top: Path) -> None:
    os.chdir(top)
    Path("file").write_bytes(b"12345")
    os.mkdir("dir")
    Path("dir/inner").write_bytes(b"i")
    os.mkdir("full")
    os.mkdir("full/a")
    os.mkdir("sub")
    for target, name in _LINKS:
        os.symlink(target, name)


_LINKS = [
    ("file", "tofile"), ("dir", "todir"), ("nowhere", "dangling"), ("loop", "loop"), ("dangling", "todangling"),
    ("..", "sub/up"), *((f"chain{i - 1}" if i > 1 else "file", f"chain{i}") for i in range(1, 42)),
]  # fmt: skip


def _populate(tree: Tree) -> None:
    who = tree.root
    tree.namespace.make_directories(b"/w")
    who.fs.cwd = op.resolve(who, b"/w")
    for name, data in ((b"file", b"12345"),):
        op.open(who, name, os.O_CREAT | os.O_WRONLY, 0o644).write(data)
    op.mkdir(who, b"dir", 0o755)
    op.open(who, b"dir/inner", os.O_CREAT | os.O_WRONLY, 0o644).write(b"i")
    for name in (b"full", b"full/a", b"sub"):
        op.mkdir(who, name, 0o755)
    for target, name in _LINKS:
        op.symlink(who, target.encode(), name.encode())


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.chdir(tmp_path)
    _populate_host(tmp_path)
    result = Tree()
    _populate(result)
    return result


def host(operation: Any, *arguments: Any, **options: Any) -> int:
    try:
        result = operation(*arguments, **options)
    except OSError as error:
        return error.errno or -1
    if operation is os.open:
        os.close(result)
    return 0


def test_stat_and_lstat(tree: Tree) -> None:
    for path in PATHS:
        for follow in (True, False):
            ours = errno_of(op.resolve, tree.root, path, follow=follow)
            assert (path, follow, ours) == (path, follow, host(os.stat, path, follow_symlinks=follow))


FLAGS = [
    os.O_RDONLY, os.O_WRONLY, os.O_RDONLY | os.O_DIRECTORY, os.O_RDONLY | os.O_NOFOLLOW, os.O_PATH | os.O_NOFOLLOW,
    os.O_PATH, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW,
    os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT,
]  # fmt: skip


@pytest.mark.parametrize("flags", FLAGS)
def test_open(flags: int, tree: Tree) -> None:
    for path in PATHS:
        ours = errno_of(lambda p=path: opened(op.open(tree.root, p, flags, 0o644)).put())
        assert (path, ours) == (path, host(os.open, path, flags, 0o644))


def test_a_dangling_link_is_made_through(tree: Tree) -> None:
    op.open(tree.root, b"todangling", os.O_CREAT | os.O_WRONLY, 0o600)
    os.close(os.open("todangling", os.O_CREAT | os.O_WRONLY, 0o600))
    assert os.path.exists("nowhere")
    assert op.stat(op.resolve(tree.root, b"nowhere")).mode == os.stat("nowhere").st_mode


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda w, p: op.mkdir(w, p, 0o755), os.mkdir),
        (op.rmdir, os.rmdir),
        (op.unlink, os.unlink),
        (op.readlink, os.readlink),
        (lambda w, p: op.symlink(w, b"t", p), lambda p: os.symlink(b"t", p)),
        (lambda w, p: op.mknod(w, p, 0o10644), lambda p: os.mkfifo(p, 0o644)),
        (lambda w, p: op.link(w, b"file", p), lambda p: os.link(b"file", p)),
        (lambda w, p: op.link(w, p, b"new"), lambda p: os.link(p, b"new", follow_symlinks=False)),
        (lambda w, p: op.truncate(w, op.resolve(w, p), 3), lambda p: os.truncate(p, 3)),
    ],
    ids=["mkdir", "rmdir", "unlink", "readlink", "symlink", "mkfifo", "link to", "link from", "truncate"],
)
def test_one_name(ours: Any, theirs: Any, tree: Tree) -> None:
    for path in [*PATHS, b"/", b"dir/inner/", b"sub/..", b"new/"]:
        assert (path, errno_of(ours, tree.root, path)) == (path, host(theirs, path))


RENAMED = [
    b"file", b"file/", b"dir", b"dir/", b"dir/inner", b"full", b"full/a", b"full/a/b", b"none", b"none/", b"tofile",
    b"todir", b"todir/", b".", b"dir/..", b"/", b"dir/new", b"sub/deep/x", b"loop", b"full/a/.",
]  # fmt: skip


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_rename(flags: int, tree: Tree) -> None:
    """Every pair, one after the other on the same two trees: a wrong effect shows in the pairs that follow."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2

    def theirs(old: bytes, new: bytes) -> int:
        return ctypes.get_errno() if renameat2(-100, old, -100, new, flags) else 0

    for old in RENAMED:
        for new in RENAMED:
            ours = errno_of(op.rename, tree.root, old, new, flags=flags)
            assert (old, new, ours) == (old, new, theirs(old, new))
    assert _listing(tree) == sorted(
        os.path.relpath(os.path.join(top, name), ".").encode()
        for top, directories, files in os.walk(".")
        for name in directories + files
    )


def _listing(tree: Tree, prefix: bytes = b"") -> list[bytes]:
    found = []
    for name, _, kind in op.resolve(tree.root, prefix or b".").inode.readdir():
        found.append(prefix + name)
        if kind == 4:
            found += _listing(tree, prefix + name + b"/")
    return sorted(found)


def test_link_counts_and_sizes(tree: Tree) -> None:
    for path in (b"dir", b"full", b"."):
        assert (path, op.stat(op.resolve(tree.root, path)).nlink) == (path, _tmpfs_links(path))
    op.link(tree.root, b"file", b"second")
    assert op.stat(op.resolve(tree.root, b"file")).nlink == 2
    assert op.resolve(tree.root, b"second").inode is op.resolve(tree.root, b"file").inode


def _tmpfs_links(path: bytes) -> int:
    """Two and one for each subdirectory, which not every host file system counts."""
    return 2 + sum(entry.is_dir(follow_symlinks=False) for entry in os.scandir(path))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else on the host")
def test_permissions_of_another_user(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """access(2) as uid 1000: on the host in a child, and in our tree."""
    with tempfile.TemporaryDirectory() as top:  # pytest's own directories are closed to other users
        os.chmod(top, 0o755)
        monkeypatch.chdir(top)
        _compare_access(tree)
        monkeypatch.chdir(tmp_path)


def _compare_access(tree: Tree) -> None:
    modes = [0o000, 0o400, 0o040, 0o004, 0o600, 0o060, 0o006, 0o700, 0o070, 0o007, 0o777]
    owners = [(0, 0), (1000, 0), (0, 1000), (1000, 1000), (0, 2000)]
    cases = [(mode, owner, kind) for mode in modes for owner in owners for kind in ("f", "d")]
    who = tree.user(groups=(2000,))
    who.fs.cwd = tree.root.fs.cwd
    ours = []
    for number, (mode, owner, kind) in enumerate(cases):
        name = f"p{number}"
        if kind == "d":
            os.mkdir(name)
            op.mkdir(tree.root, name.encode(), 0o755)
        else:
            Path(name).touch()
            op.open(tree.root, name.encode(), os.O_CREAT, 0o644)
        os.chown(name, *owner)
        os.chmod(name, mode)
        place = op.resolve(tree.root, name.encode())
        op.chown(tree.root, place, *owner)
        op.chmod(tree.root, place, mode)
        ours.append([not errno_of(op.access, who, place, mask) for mask in range(8)])
    answers = _as_user(lambda: [[os.access(f"p{n}", m) for m in range(8)] for n in range(len(cases))])
    assert ours == answers


def _as_user(question: Any) -> Any:
    """What a child answers that is uid and gid 1000, in group 2000."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([2000])
            os.setgid(1000)
            os.setuid(1000)
            os.write(writer, json.dumps(question()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)
