"""Host objects of the mock: what the contract says of them (kernel/platform.py)."""

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.poll import POLLHUP, POLLIN, POLLOUT
from pylitebox.abi.stat import DT_DIR, DT_LNK, DT_REG, S_IFDIR, S_IFREG
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.south.mock.host import Disk, Entry, Link, MockBuffer, MockDirectory, MockStream

TREE = {"f": "text", "d": {"inner": b"x"}, "l": Link("f"), "x": Entry("run", 0o755)}


def errno_of(function, *args):
    with pytest.raises(KernelError) as caught:
        function(*args)
    return caught.value.errno


def test_a_tree():
    root = MockDirectory(TREE)
    assert [(n, t) for n, _, t in root.listdir()] == [(b"f", DT_REG), (b"d", DT_DIR), (b"l", DT_LNK), (b"x", DT_REG)]
    assert root.stat(b"f").st_mode == S_IFREG | 0o644
    assert root.stat(b"x").st_mode == S_IFREG | 0o755
    assert root.stat_self().st_mode == S_IFDIR | 0o755
    assert root.stat(b"f").st_size == 4
    assert root.readlink(b"l") == b"f"
    assert root.directory(b"d").open(b"inner").read_at(10, 0) == b"x"
    assert errno_of(root.stat, b"none") == E.ENOENT
    assert errno_of(root.readlink, b"f") == E.EINVAL
    assert errno_of(root.open, b"d") == E.EACCES
    assert errno_of(root.open, b"l") == E.EACCES, "no call follows a link"
    assert errno_of(root.directory, b"f") == E.ENOTDIR


def test_changes():
    root = MockDirectory(TREE)
    before = root.stat_self().st_ctime_ns
    file = root.create(b"new", 0o600)
    file.write_at(b"data", 2)
    assert root.open(b"new").read_at(10, 0) == b"\0\0data"
    assert root.stat_self().st_ctime_ns > before
    assert errno_of(root.create, b"new", 0o600) == E.EEXIST
    assert errno_of(root.open(b"new").write_at, b"x", 0) == E.EBADF
    file.truncate(1)
    assert root.stat(b"new").st_size == 1
    root.mkdir(b"e", 0o700)
    root.symlink(b"to", b"s")
    root.link(b"new", root.directory(b"e"), b"other")
    assert root.stat(b"new").st_nlink == 2
    assert errno_of(root.unlink, b"e") == E.EISDIR
    assert errno_of(root.rmdir, b"e") == E.ENOTEMPTY
    assert errno_of(root.rmdir, b"new") == E.ENOTDIR
    root.rename(b"new", root.directory(b"e"), b"moved", 0)
    assert errno_of(root.stat, b"new") == E.ENOENT
    assert errno_of(root.rename, b"f", root.directory(b"e"), b"moved", 1) == E.EEXIST
    root.rename(b"f", root.directory(b"e"), b"moved", 0)
    assert root.directory(b"e").open(b"moved").read_at(9, 0) == b"text"
    root.chmod(b"x", 0o640)
    root.utime(b"x", 5, 6)
    facts = root.stat(b"x")
    assert (facts.st_mode, facts.st_atime_ns, facts.st_mtime_ns) == (S_IFREG | 0o640, 5, 6)


def test_a_slow_file_waits_for_its_disk():
    disk = Disk()
    file = MockDirectory({"s": Entry("slow", 0o644, slow=True)}, disk).open(b"s")
    with pytest.raises(WouldBlock):
        file.read_at(4, 0)
    assert disk.serve()
    assert file.read_at(4, 0) == b"slow"
    assert file.read_at(2, 0) == b"sl"
    with pytest.raises(WouldBlock):
        file.read_at(2, 2)
    assert disk.serve()
    assert not disk.serve()


def test_streams_say_when_they_are_ready():
    stream = MockStream(b"in", capacity=3)
    assert stream.poll() == POLLIN | POLLOUT
    assert stream.read(9) == b"in"
    assert stream.poll() == POLLHUP | POLLIN | POLLOUT
    assert stream.read(9) == b""
    stream.open_input()
    assert stream.poll() == POLLOUT
    with pytest.raises(WouldBlock):
        stream.read(1)
    assert stream.write(b"long") == 3
    assert stream.poll() == 0
    with pytest.raises(WouldBlock):
        stream.write(b"x")
    stream.hang_up()
    assert errno_of(stream.write, b"x") == E.EPIPE
    assert MockStream(terminal=True).termios is not None


def test_handles_of_a_buffer_share_its_content():
    buffer = MockBuffer("b")
    other = buffer.share()
    buffer.write_at(b"abc", 1)
    assert other.read_at(10, 0) == b"\0abc"
    assert other.key() == buffer.key()
    other.truncate(2)
    assert buffer.size() == 2
    other.close()
    assert buffer.handles == [buffer]
    with pytest.raises(ValueError, match="not in list"):
        other.close()
