"""The host's side of Posix: mounts, what is left of the host, errors by name, hosts that are no POSIX systems."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import pylitebox
from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.library import posix as library
from pylitebox.sandbox import host_errors as errors
from pylitebox.south.local import directory as local
from pylitebox.south.local.directory import LocalDirectory
from pylitebox.south.local.platform import LocalPlatform
from tests.north.conftest import open_fds


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "project/src").mkdir(parents=True)
    (tmp_path / "project/src/main.py").write_text("print('hello')\n")
    (tmp_path / "project/run").symlink_to("src/main.py")
    (tmp_path / "project/out").symlink_to("../secret")
    (tmp_path / "project/absolute").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("not yours")
    if not (tmp_path / "project/run").is_symlink():
        pytest.skip("the host makes no symbolic links")  # Wine
    return tmp_path / "project"


@pytest.fixture(params=["descriptors", "paths"])
def walks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to walk the host's trees: as POSIX hosts can, and as all can."""
    if request.param == "descriptors" and not library._DESCRIPTORS:
        pytest.skip("the host has no descriptors of directories")
    monkeypatch.setattr(library, "_DESCRIPTORS", request.param == "descriptors")


@pytest.mark.usefixtures("walks")
class TestMounts:
    def test_read_only(self, tree: Path) -> None:
        with pylitebox.Posix(mounts=[f"{tree}:/p"]) as box:
            with box.fopen("/p/run") as file:
                assert file.read() == "print('hello')\n"
            assert sorted(box.listdir("/p")) == ["absolute", "out", "run", "src"]
            assert box.stat("/p/src/main.py").st_size == 15
            with pytest.raises(OSError, match="Read-only file system") as caught:
                box.open("/p/new", box.O_CREAT | box.O_WRONLY)
            assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "/p/new")
            for call in (box.unlink, box.rmdir):
                with pytest.raises(OSError, match="Read-only"):
                    call("/p/src")

    def test_links_do_not_lead_out(self, tree: Path) -> None:
        with pylitebox.Posix(mounts=[pylitebox.Mount(tree, "/p", "rw")]) as box:
            for name in ("/p/out", "/p/absolute", "/p/../secret", str(tree.parent / "secret")):
                with pytest.raises(FileNotFoundError):
                    box.open(name, box.O_RDONLY)
            box.symlink("/etc", "/p/etc")
            with pytest.raises(FileNotFoundError):
                box.open("/p/etc/passwd", box.O_RDONLY)
            with pytest.raises(IsADirectoryError):
                box.open("/p/etc/..", box.O_WRONLY)

    def test_copy_on_write(self, tree: Path) -> None:
        with pylitebox.Posix(mounts=[f"{tree}:/p:cow"]) as box:
            with box.fopen("/p/src/main.py", "a") as file:
                file.write("print('again')\n")
            box.unlink("/p/run")
            box.rename("/p/src", "/p/lib")
            assert box.path.getsize("/p/lib/main.py") == 30
            assert sorted(box.listdir("/p")) == ["absolute", "lib", "out"]
        assert (tree / "src/main.py").read_text() == "print('hello')\n"
        assert (tree / "run").is_symlink()

    def test_written_through(self, tree: Path) -> None:
        with pylitebox.Posix(mounts=[f"{tree}:/p:rw"], umask=0o077) as box:
            box.makedirs("/p/a/b")
            with box.fopen("/p/a/b/f", "wb") as file:
                file.write(bytes(300_000) + b"end")
            fd = box.open("/p/a/b/f", box.O_RDWR)
            assert box.pread(fd, 3, 300_000) == b"end"
            assert box.pwrite(fd, b"start", 0) == 5
            box.fsync(fd)
            box.ftruncate(fd, 100)
            if os.name == "nt":  # which renames no file that is open
                box.close(fd)
            box.rename("/p/a/b/f", "/p/a/g")
            box.link("/p/a/g", "/p/a/h")
            box.symlink("g", "/p/a/s")
            box.utime("/p/a/g", ns=(10**18, 2 * 10**18))
            box.chmod("/p/a/g", 0o640)
            box.rmdir("/p/a/b")
            with pytest.raises(OSError, match="not empty"):
                box.rmdir("/p/a")
            box.unlink("/p/a/h")
            assert box.stat("/p/a/g").st_mtime_ns == 2 * 10**18
        facts = (tree / "a/g").stat()
        assert (facts.st_size, facts.st_mtime_ns, oct(facts.st_mode)) == (100, 2 * 10**18, "0o100640")
        assert sorted(os.listdir(tree / "a")) == ["g", "s"]
        assert (tree / "a/s").readlink() == Path("g")
        assert (tree / "a/g").read_bytes().startswith(b"start")

    def test_descriptors_of_the_host_are_given_back(self, tree: Path) -> None:
        before = open_fds()
        with pylitebox.Posix(mounts=[f"{tree}:/p:rw"], system=True) as box:
            box.open("/p/src/main.py", box.O_RDWR)
            assert box.path.isdir("/usr/bin")
        assert open_fds() == before
        box = pylitebox.Posix(mounts=[f"{tree}:/p:rw"])
        box.fopen("/p/src/main.py").close()
        del box
        gc.collect()
        assert open_fds() == before

    def test_what_cannot_be_mounted(self, tree: Path) -> None:
        before = open_fds()
        for mount in (f"{tree}/none:/p", f"{tree}/src/main.py:/p", f"{tree}:/proc/x"):
            with pytest.raises(pylitebox.OptionError):
                pylitebox.Posix(mounts=[f"{tree}:/q", mount])
        with pytest.raises(pylitebox.OptionError, match="working directory /none"):
            pylitebox.Posix(mounts=[f"{tree}:/q"], cwd="/none")
        gc.collect()
        assert open_fds() == before


def test_the_system_of_the_host() -> None:
    with pylitebox.Posix(system=True) as box:
        assert box.path.isdir("/usr")
        assert box.path.isfile("/etc/passwd")
        assert not box.path.exists("/etc/shadow")
        box.makedirs("/usr/local/new")
    with pylitebox.Posix() as box:
        assert not box.path.exists("/usr")
        assert set(box.listdir("/")) >= {"dev", "proc", "tmp", "home"}
        assert box.read(box.open("/dev/zero", box.O_RDONLY), 3) == bytes(3)
        assert box.path.realpath("/proc/self/cwd") == "/"
        assert box.read(0, 10) == b""  # the streams are /dev/null
        assert box.write(1, b"unseen") == 6


def test_options() -> None:
    with pylitebox.Posix(
        tmpfs={"/small": "64k"}, user="1000:50", hostname="lab", cwd="small", umask=0o027, memory=1 << 20
    ) as box:
        assert (box.getuid(), box.getgid(), box.getcwd(), box.uname().nodename) == (1000, 50, "/small", "lab")
        fd = box.open("f", box.O_CREAT | box.O_WRONLY)
        assert (oct(box.fstat(fd).st_mode), box.stat("f").st_uid) == ("0o100750", 1000)
        assert box.write(fd, bytes(1 << 17)) == 1 << 16
        with pytest.raises(OSError, match="No space left") as caught:
            box.write(fd, b"x")
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(PermissionError):
            box.open("/etc/hostname", box.O_WRONLY)
        with pytest.raises(OSError, match="No space left"):
            box.write(box.open("/tmp/big", box.O_CREAT | box.O_WRONLY), bytes(1 << 20)) and box.write(
                box.open("/tmp/big2", box.O_CREAT | box.O_WRONLY), bytes(1 << 20)
            )


# -- other operating systems --------------------------------------------------------------------------------------


def test_errors_are_the_hosts_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name: number + 1000 for name, number in vars(errno).items() if isinstance(number, int)}
    del names["ENODATA"]
    monkeypatch.setattr(errors, "errno", types.SimpleNamespace(**names))
    monkeypatch.setattr(os, "strerror", lambda number: f"text {number}")
    assert errors.host_error(E.ENOTEMPTY) == (errno.ENOTEMPTY + 1000, f"text {errno.ENOTEMPTY + 1000}")
    assert errors.host_error(E.ENODATA) == (errno.EIO + 1000, f"text {errno.EIO + 1000} (ENODATA)")
    with pylitebox.Posix() as box, pytest.raises(OSError, match="text") as caught:
        box.open("/none", box.O_RDONLY)
    assert caught.value.errno == errno.ENOENT + 1000


def test_names_that_mean_something_to_the_host(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = LocalDirectory(str(tree))
    for name in (b"", b".", b"..", b"src/main.py", b"src/..", b"/etc"):
        for call in (directory.stat, directory.open, directory.directory, directory.readlink, directory.unlink):
            with pytest.raises(KernelError) as caught:
                call(name)
            assert caught.value.errno == E.ENOENT
    monkeypatch.setattr(local, "_FORBIDDEN", frozenset('\\/:*?"<>|'))
    for name in (b"C:", b"src\\main.py", b"run:stream", b"r?n"):
        with pytest.raises(KernelError) as caught:
            directory.stat(name)
        assert caught.value.errno == E.ENOENT


def test_a_directory_by_path_follows_no_links(tree: Path) -> None:
    (tree / "to-src").symlink_to("src")
    directory = LocalDirectory(str(tree))
    assert {(name, kind) for name, _, kind in directory.listdir()} >= {(b"to-src", 10), (b"src", 4)}
    with pytest.raises(KernelError) as caught:
        directory.directory(b"to-src")
    assert caught.value.errno == E.ENOTDIR
    for call in (directory.open, lambda name: directory.open(name, write=True)):
        with pytest.raises(KernelError) as caught:
            call(b"out")
        assert caught.value.errno == E.EACCES
    for change in (lambda: directory.chmod(b"run", 0o600), lambda: directory.utime(b"run", 1, 1)):
        with pytest.raises(KernelError) as caught:
            change()
        assert caught.value.errno == E.EOPNOTSUPP
    file = directory.directory(b"src").open(b"main.py")
    again = file.share()
    file.close()
    assert again.read_at(5, 6) == b"'hell"
    again.close()
    directory.close()


def test_buffers_and_guests_of_the_local_platform() -> None:
    platform = LocalPlatform()
    buffer = platform.shared_buffer("x")
    other = buffer.share()
    assert buffer.write_at(b"abc", 5) == 3
    assert (other.size(), other.read_at(100, 4), other.key()) == (8, b"\0abc", buffer.key())
    other.truncate(6)
    assert buffer.size() == 6
    assert platform.shared_buffer("x").key() != buffer.key()
    guests: list[object] = []
    platform.new_process(guests.append)
    assert guests == [None]


_ELSEWHERE = """
import errno, os, sys
for name in ("fcntl", "pwd", "grp", "termios", "resource", "select", "socket", "ctypes", "_posixsubprocess", "tty"):
    sys.modules[name] = None
for name in ("O_PATH O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_NOCTTY O_NONBLOCK pread pwrite preadv pwritev memfd_create "
             "fchmod fork register_at_fork getuid geteuid getgid statvfs posix_fallocate sched_getaffinity uname chown "
             "mkfifo mknod getxattr setxattr eventfd splice copy_file_range sendfile fdatasync fchdir chroot "
             "supports_fd RWF_NOWAIT pipe2").split():
    if hasattr(os, name):
        delattr(os, name)
os.supports_dir_fd = set()
import pylitebox
with pylitebox.Posix(mounts=[pylitebox.Mount(sys.argv[1], "/p", "cow")], cwd="/p") as box:
    with box.fopen("src/main.py", "a") as file:
        file.write("more")
    assert box.path.getsize("run") == 19
    box.mkfifo("fifo"); box.chown("run", 5, 5)
    r, w = box.pipe(); box.write(w, b"x"); assert box.select([r], [], [], 1)[0] == [r]
    a, b = box.socketpair(); box.write(a, b"y"); assert box.read(b, 1) == b"y"
    assert [d for d, _, _ in box.walk(".")] == [".", "./src"]
    try:
        box.rmdir("src")
    except OSError as error:
        assert error.errno == errno.ENOTEMPTY, error
    assert box._program.task.kernel.internal_errors == 0
print("works")
"""


def test_it_works_where_the_host_is_no_posix_system(tree: Path) -> None:
    """As on Windows: without the modules, and the functions of os, that are not there."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", _ELSEWHERE, str(tree)], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("works\n", "")
    assert (tree / "src/main.py").read_text() == "print('hello')\n"
