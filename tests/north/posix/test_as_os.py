"""Posix is as ``os``: the same code runs on both, and each call must have the same outcome, errors included."""

from __future__ import annotations

import inspect
import os
import stat
import sys
from pathlib import Path, PurePosixPath

import pytest

import pylitebox
from pylitebox.north.posix import Posix
from tests.north.posix.hosts import Recorder, Scenario, compare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    SCENARIOS.append(function)
    return function


@pytest.mark.parametrize("function", SCENARIOS, ids=lambda f: f.__name__)
def test_each_call_has_the_outcome_of_os(function: Scenario, tmp_path: Path) -> None:
    compare(function, tmp_path)


@scenario
def opening(o, a: Recorder):
    a(o.open, "none", o.O_RDONLY)
    a(o.open, "", o.O_RDONLY)
    a(o.open, b"none/x", o.O_RDONLY)
    a(o.open, PurePosixPath("none"), o.O_RDONLY)
    a(o.open, "nul\0", o.O_RDONLY)
    a(o.open, 1.5, o.O_RDONLY)
    a(o.open, "f", "r")
    a(o.open, "f", 1 << 40)
    a(o.open, "x" * 300, o.O_CREAT)
    a(o.open, "x/" * 3000, o.O_CREAT)
    fd = a.quiet(o.open, "f", o.O_RDWR | o.O_CREAT | o.O_EXCL, 0o640)
    a(o.open, "f", o.O_RDWR | o.O_CREAT | o.O_EXCL)
    a(o.open, "f/x", o.O_RDONLY)
    a(o.open, "f", o.O_RDONLY | o.O_DIRECTORY)
    a(o.get_inheritable, fd)
    o.mkdir("d")
    a(o.open, "d", o.O_WRONLY)
    at = a.quiet(o.open, "d", o.O_RDONLY)
    inner = a.quiet(o.open, "inner", o.O_CREAT | o.O_WRONLY, dir_fd=at)
    a(o.open, "inner", o.O_RDONLY, dir_fd=inner)
    a(o.open, "missing", o.O_RDONLY, dir_fd=at)
    a(o.open, "x", o.O_RDONLY, dir_fd=999)
    a(o.listdir, at)
    a(o.close, fd)
    a(o.close, fd)
    a(o.close, -1)
    a.quiet(o.open, ".", o.O_TMPFILE | o.O_RDWR)
    a(lambda: oct(o.stat("f").st_mode))


@scenario
def reading_and_writing(o, a: Recorder):
    fd = o.open("f", o.O_RDWR | o.O_CREAT)
    for data in (b"hello world", bytearray(b" and more"), memoryview(b"!")):
        a.quiet(o.write, fd, data)
    a.quiet(o.write, fd, "text")
    a(o.lseek, fd, 0, o.SEEK_END)
    a(lambda: o.lseek(fd, 3, o.SEEK_SET))
    a(lambda: o.read(fd, 4))
    a(lambda: o.read(fd, 0))
    a(lambda: o.read(fd, 10_000))
    a(lambda: o.read(fd, 10_000))
    a(lambda: o.read(fd, -1))
    a(lambda: o.pread(fd, 5, 6))
    a(lambda: o.pread(fd, -5, 6))
    a(lambda: o.pread(fd, 5, -6))
    a(lambda: o.pread(fd, 5, 1 << 70))
    a(lambda: o.pwrite(fd, b"XY", 30))
    a(lambda: o.pread(fd, 100, 0))
    buffers = [bytearray(3), bytearray(4), bytearray(100)]
    a(lambda: o.preadv(fd, buffers, 1))
    a.note(buffers)
    o.lseek(fd, 0, o.SEEK_SET)
    a(lambda: o.readv(fd, buffers))
    a.note(buffers)
    a(lambda: o.readv(fd, [b"readonly"]))
    a(lambda: o.writev(fd, [b"one", bytearray(b"two"), b""]))
    a(lambda: o.writev(fd, []))
    a(lambda: o.pwritev(fd, [b"abc", b"def"], 2))
    a(lambda: o.pwritev(fd, [b"end"], 0, o.RWF_APPEND))
    a(lambda: o.preadv(fd, [bytearray(1)] * 2000, 0))
    a(lambda: o.pread(fd, 200, 0))
    a(lambda: o.lseek(fd, 0, 77))
    a(lambda: o.lseek(fd, -1, o.SEEK_SET))
    a(o.truncate, "f", 5)
    a(lambda: o.truncate(fd, 7))
    a(lambda: o.ftruncate(fd, 9))
    a(lambda: o.ftruncate(fd, -9))
    a(o.truncate, "f", -1)
    a(o.truncate, "none", 1)
    a(o.truncate, 999, 1)
    a(o.truncate, ".", 1)
    a(lambda: o.pread(fd, 200, 0))
    a(lambda: o.posix_fallocate(fd, 0, 100))
    a(lambda: o.posix_fallocate(fd, 0, 0))
    a(lambda: o.posix_fadvise(fd, 0, 0, o.POSIX_FADV_WILLNEED))
    a(lambda: o.fstat(fd).st_size)
    a(lambda: o.fsync(fd))
    a(lambda: o.fdatasync(fd))
    a(o.fsync, 999)
    reader = o.open("f", o.O_RDONLY)
    a(lambda: o.write(reader, b"x"))
    a(lambda: o.read(o.open("f", o.O_WRONLY), 1))
    a(lambda: o.read(o.open(".", o.O_RDONLY), 1))
    a(o.read, 999, 1)
    a(o.write, 999, b"")
    a(o.read, 1 << 40, 1)


@scenario
def making_and_removing(o, a: Recorder):
    a(o.mkdir, "d", 0o750)
    a(o.mkdir, "d")
    a(o.mkdir, "none/d")
    a(o.mkdir, b"bytes")
    a(lambda: oct(o.stat("d").st_mode))
    a(o.rmdir, "none")
    a(o.makedirs, "a/b/c", 0o711)
    a(o.makedirs, "a/b/c")
    a(o.makedirs, "a/b/c", exist_ok=True)
    a(o.makedirs, "a/b/d/", exist_ok=True)
    a(lambda: [oct(o.stat(p).st_mode) for p in ("a", "a/b", "a/b/c")])
    a(o.rmdir, "a")
    a(o.unlink, "a")
    a(o.remove, "none")
    o.close(o.open("a/b/f", o.O_CREAT))
    a(o.makedirs, "a/b/f", exist_ok=True)
    a(o.makedirs, "a/b/f/g")
    a(o.rmdir, "a/b/f")
    a(o.unlink, "a/b/f/")
    a(o.removedirs, "a/b/c")
    a(lambda: sorted(o.listdir("a/b")))
    a(o.unlink, "a/b/f")
    a(o.removedirs, "a/b/d")
    a(o.path.exists, "a")
    at = o.open("d", o.O_RDONLY)
    a(lambda: o.mkdir("e", dir_fd=at))
    a(lambda: o.mkdir("e", dir_fd=at))
    a(lambda: o.rmdir("e", dir_fd=at))
    a(lambda: o.unlink("e", dir_fd=at))
    a(o.mkfifo, "fifo", 0o600)
    a(o.mkfifo, "fifo")
    a(o.mknod, "node", 0o600)
    a(o.mknod, "dir", stat.S_IFDIR | 0o600)
    a(lambda: [oct(o.lstat(p).st_mode) for p in ("fifo", "node")])
    a(o.renames, "d", "x/y/z")
    a(lambda: sorted(o.listdir()))
    a(o.makedev, 3, 70_000)
    a(lambda: (o.major(o.makedev(300, 70_000)), o.minor(o.makedev(300, 70_000))))


@scenario
def renaming_and_linking(o, a: Recorder):
    o.mkdir("d")
    o.mkdir("full")
    for name in ("f", "g", "full/x"):
        o.close(o.open(name, o.O_CREAT))
    a(o.rename, "none", "x")
    a(o.rename, "f", "none/x")
    a(o.rename, "f", "d")
    a(o.rename, "d", "f")
    a(o.rename, "d", "full")
    a(o.rename, "d", "d/inner")
    a(o.rename, b"f", b"f2")
    a(o.replace, "f2", "g")
    a(o.rename, "x\0", "y")
    a(o.rename, ".", "y")
    at = o.open("d", o.O_RDONLY)
    a(lambda: o.rename("g", "h", dst_dir_fd=at))
    a(lambda: o.rename("h", "i", src_dir_fd=at, dst_dir_fd=at))
    a(o.symlink, "i", "d/s")
    a(o.symlink, "i", "d/s")
    a(o.symlink, "", "empty")
    a(o.symlink, "loop", "loop")
    a(o.symlink, "nowhere", b"mixed")
    a(lambda: o.symlink("i", "t", dir_fd=at))
    a(o.readlink, "d/s")
    a(o.readlink, b"d/s")
    a(lambda: o.readlink("t", dir_fd=at))
    a(o.readlink, "d")
    a(o.readlink, "none")
    a(o.stat, "loop")
    a(o.link, "d/s", "hard")
    a(lambda: stat.S_ISLNK(o.lstat("hard").st_mode))
    a(lambda: o.link("s", "hard2", src_dir_fd=at))
    a(lambda: (stat.S_ISLNK(o.lstat("hard2").st_mode), o.lstat("d/i").st_nlink))
    a(lambda: o.link("d/s", "hard3", follow_symlinks=False))
    a(o.link, "none", "x")
    a(o.link, "d", "x")
    a(o.link, "d/i", "hard2")
    a(o.path.samefile, "d/i", "hard2")


@scenario
def attributes(o, a: Recorder):
    o.mkdir("d")
    fd = o.open("f", o.O_CREAT | o.O_RDWR, 0o666)
    o.symlink("f", "s")
    a(lambda: oct(o.stat("f").st_mode))
    a(o.chmod, "f", 0o4751)
    a(lambda: oct(o.stat(b"s").st_mode))
    a(lambda: o.chmod(fd, 0o600))
    a(lambda: o.fchmod(fd, 0o601))
    a(o.chmod, "none", 0o600)
    a(o.chmod, 999, 0o600)
    a(lambda: oct(o.fstat(fd).st_mode))
    a(o.chown, "f", -1, -1)
    a(o.chown, "none", 1, 1)
    a(o.chown, "f", -2, 1)
    a(o.lchown, "s", -1, -1)
    a(lambda: o.chown(fd, -1, -1))
    a(lambda: o.fchown(fd, -1, -1))
    a(o.access, "f", o.R_OK)
    a(o.access, "none", o.F_OK)
    a(o.access, "d", o.R_OK | o.X_OK, effective_ids=True)
    a(o.access, "f", 99)
    at = o.open("d", o.O_RDONLY)
    a(lambda: o.access("../f", o.F_OK, dir_fd=at))
    a(o.utime, "f", (1.5, 2.25))
    a(lambda: (*o.stat("f")[7:9], o.stat("f").st_atime_ns, o.stat("f").st_mtime_ns, o.stat("f").st_mtime))
    a(o.utime, "f", (-1.25, 1e9 + 0.1))
    a(lambda: (o.stat("f").st_atime_ns, o.stat("f").st_mtime_ns))
    a(o.utime, "f", ns=(1_234_567_890_123_456_789, 5))
    a(lambda: (o.stat("f").st_atime_ns, o.stat("f").st_mtime_ns, o.stat("f").st_atime))
    a(o.utime, "s", ns=(77, 88), follow_symlinks=False)
    a(lambda: (o.lstat("s").st_atime_ns > 77, o.lstat("s").st_mtime_ns, o.stat("s").st_mtime_ns))
    a(lambda: o.utime(fd, (3, 4)))
    a(lambda: o.utime("../f", (5, 6), dir_fd=at))
    a(lambda: o.stat("f").st_mtime_ns)
    a(o.utime, "f", (1, 2, 3))
    a(o.utime, "f", [1, 2])
    a(o.utime, "f", (1, 2), ns=(1, 2))
    a(o.utime, "f", (1 << 70, 2))
    a(o.utime, "f", (float("nan"), 2))
    a.nameless(o.utime, "none")
    a(o.utime, "f")
    a(lambda: o.utime(fd, (1, 2), follow_symlinks=False))
    a(o.stat, "none")
    a(o.stat, 999)
    a(o.stat, b"none")
    a(o.stat, "f/x")
    a(o.stat, None)
    a(lambda: o.stat(fd, follow_symlinks=False))
    a(lambda: o.stat(fd, dir_fd=at))
    a(lambda: stat.S_ISLNK(o.stat("s", follow_symlinks=False).st_mode))
    a(lambda: o.stat("../s", dir_fd=at).st_ino == o.fstat(fd).st_ino == o.lstat("f").st_ino)
    a(lambda: (len(o.stat("f")), o.stat("f").st_nlink, o.stat("d").st_nlink, o.stat("f").st_blksize))
    a(lambda: oct(o.umask(0o077)))
    o.close(o.open("private", o.O_CREAT))
    a(lambda: (oct(o.stat("private").st_mode), oct(o.umask(0o022))))
    a(lambda: o.statvfs("f").f_namemax)
    a(lambda: o.statvfs(fd).f_frsize)
    a(lambda: len(o.fstatvfs(fd)))
    a(o.statvfs, "none")


@scenario
def extended_attributes(o, a: Recorder):
    fd = o.open("f", o.O_CREAT | o.O_RDWR)
    o.symlink("f", "s")
    try:
        o.setxattr("f", "user.probe", b"")
    except OSError as error:
        a.note(("no extended attributes", type(error)))
        return
    a(o.setxattr, "f", "user.one", b"1")
    a(o.setxattr, "f", b"user.two", bytearray(b"22"))
    a(o.setxattr, "f", "user.one", b"x", o.XATTR_CREATE)
    a(o.setxattr, "f", "user.none", b"x", o.XATTR_REPLACE)
    a(o.setxattr, "f", "strange", b"x")
    a(o.getxattr, "f", "user.one")
    a(o.getxattr, "s", "user.two")
    a(o.getxattr, "f", "user.none")
    a(o.getxattr, "none", "user.none")
    a(lambda: o.getxattr(fd, "user.one"))
    a(lambda: sorted(o.listxattr("f")))
    a(lambda: o.listxattr("s", follow_symlinks=False))
    a(o.setxattr, "s", "user.link", b"", follow_symlinks=False)
    a(o.removexattr, "f", "user.one")
    a(o.removexattr, "f", "user.one")
    a(lambda: sorted(o.listxattr(fd)))


@scenario
def listing(o, a: Recorder):
    o.mkdir("d")
    for name in ("f", "\udcff", "é"):
        o.close(o.open("d/" + name, o.O_CREAT))
    o.mkdir("d/sub")
    o.symlink("sub", "d/to-sub")
    o.symlink("none", "d/dangling")
    o.symlink("round", "d/round")
    a(lambda: sorted(o.listdir("d")))
    a(lambda: sorted(o.listdir(b"d")))
    a(lambda: sorted(o.listdir(PurePosixPath("d"))))
    a(o.listdir)
    a(o.listdir, "none")
    a(o.listdir, "d/f")
    a(o.listdir, 999)
    a(o.scandir, "none")
    at = o.open("d", o.O_RDONLY)
    a(lambda: sorted(o.listdir(at)))
    a(lambda: sorted(o.listdir(at)))

    def facts(path):
        with o.scandir(path) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                fact(entry)

    def fact(e):
        a(lambda: (e.name, e.path, os.fspath(e)))
        for function in (e.is_dir, e.is_file, e.is_symlink):
            a(function)
        a(e.is_dir, follow_symlinks=False)
        a(lambda: e.inode() == e.stat(follow_symlinks=False).st_ino)
        a(lambda: e.stat().st_size >= 0)
        a(lambda: repr(e))

    facts("d")
    facts(b"d/")
    facts(at)
    entries = o.scandir("d")
    next(entries)
    entries.close()
    a(lambda: list(entries))


@scenario
def walking(o, a: Recorder):
    for path in ("t/a/x", "t/b", "t/c/y/z"):
        o.makedirs(path)
    o.close(o.open("t/a/f", o.O_CREAT))
    o.symlink("a", "t/link")
    o.symlink("circle", "t/circle")
    o.symlink("none", "t/dangling")

    def walk(**options):
        return sorted((p, sorted(d), sorted(f)) for p, d, f in o.walk("t", **options))

    a(walk)
    a(walk, topdown=False)
    a(walk, followlinks=True)
    a(lambda: next(p for p, _, _ in o.walk("t", topdown=True)))
    a(lambda: [p for p, _, _ in o.walk("t", topdown=False)][-1])
    a(lambda: sorted((p, sorted(d)) for p, d, _ in o.walk(b"t/a")))

    def pruned():
        for path, directories, _ in o.walk("t"):
            if "a" in directories:
                directories.remove("a")
            a.note((path, sorted(directories)))

    a(lambda: list(o.walk("none")))
    errors: list[OSError] = []
    a(lambda: list(o.walk("none", onerror=errors.append)))
    a.note([(e.errno, e.filename) for e in errors])
    a.note(sorted(p for p, d, f in o.walk("t") if d.sort() or p))
    a(lambda: sorted((p, sorted(d), sorted(f)) for p, d, f, fd in o.fwalk("t")))
    a(lambda: sorted((p, sorted(d), sorted(f)) for p, d, f, fd in o.fwalk("t", topdown=False, follow_symlinks=True)))
    a(lambda: all(sorted(o.listdir(fd)) == sorted(d + f) for _, d, f, fd in o.fwalk("t")))


@scenario
def the_working_directory(o, a: Recorder):
    o.makedirs("d/e")
    top = o.getcwd()
    a(o.chdir, "d")
    a(lambda: (o.getcwd().removeprefix(top), o.getcwdb().decode().removeprefix(top)))
    a(o.chdir, "none")
    a(o.chdir, b"e")
    fd = o.open("..", o.O_RDONLY)
    a(lambda: o.chdir(fd))
    a(lambda: o.getcwd().removeprefix(top))
    a(lambda: o.fchdir(fd))
    a(o.fchdir, 999)
    a(o.chdir, 999)
    o.chdir("e")
    o.rmdir("../e")
    a(o.getcwd)
    a(o.open, "x", o.O_CREAT)
    a(o.listdir)
    o.chdir(top)


@scenario
def descriptors(o, a: Recorder):
    fd = o.open("f", o.O_RDWR | o.O_CREAT)
    o.write(fd, b"0123456789")
    new = o.dup(fd)
    a.note(o.get_inheritable(new))
    a(lambda: o.lseek(new, 3, 0))
    a(lambda: o.read(fd, 2))
    a(lambda: o.dup2(fd, 200))
    a(lambda: o.get_inheritable(200))
    a(lambda: o.dup2(fd, 201, inheritable=False))
    a(lambda: o.get_inheritable(201))
    a(lambda: o.dup2(fd, fd) == fd)
    a(o.dup, 999)
    a(o.dup2, 999, 3)
    a(o.dup2, 200, -1)
    a(lambda: o.set_inheritable(fd, True))
    a(lambda: o.get_inheritable(fd))
    a(o.get_inheritable, 999)
    a(o.set_inheritable, 999, True)
    a(lambda: o.get_blocking(fd))
    a(lambda: o.set_blocking(fd, False))
    a(lambda: o.get_blocking(new))
    a(lambda: o.isatty(fd))
    a(o.isatty, 999)
    a(o.closerange, 200, 202)
    a(o.fstat, 200)
    a(lambda: o.fcntl(fd, o.F_GETFD))
    a(lambda: o.fcntl(fd, 4711))
    a(lambda: o.flock(fd, o.LOCK_EX | o.LOCK_NB))
    other = o.open("f", o.O_RDWR)
    a(lambda: o.flock(other, o.LOCK_SH | o.LOCK_NB))
    a(lambda: o.flock(fd, o.LOCK_UN))
    a(lambda: o.flock(other, o.LOCK_SH | o.LOCK_NB))
    a(lambda: o.flock(other, 99))
    a(lambda: o.record_lock(fd, o.LOCK_EX | o.LOCK_NB, 5, 1))
    a(lambda: o.record_lock(fd, 77))
    a(lambda: o.lockf(fd, o.F_TLOCK, 10))
    a(lambda: o.lockf(fd, o.F_TEST, 10))
    a(lambda: o.lockf(fd, o.F_ULOCK, 0))
    a(lambda: o.lockf(fd, 42, 0))


@scenario
def pipes_and_their_like(o, a: Recorder):
    r, w = o.pipe()
    a(lambda: o.write(w, b"hello"))
    a(lambda: o.read(r, 100))
    a(lambda: o.lseek(r, 0, 0))
    a(lambda: o.pread(r, 1, 0))
    a(lambda: o.ftruncate(w, 0))
    a(lambda: o.fsync(w))
    o.set_blocking(r, False)
    a(lambda: o.read(r, 1))
    o.close(w)
    a(lambda: o.read(r, 1))
    r, w = o.pipe2(o.O_NONBLOCK)
    a(lambda: o.write(w, bytes(1 << 20)))
    a(lambda: o.write(w, b"x"))
    o.close(r)
    a(lambda: o.write(w, b"x"))
    a(o.pipe2, 1)
    e = o.eventfd(3)
    a(lambda: o.eventfd_write(e, 4))
    a(lambda: o.eventfd_read(e))
    e = o.eventfd(1, o.EFD_NONBLOCK | o.EFD_SEMAPHORE)
    a(lambda: o.eventfd_read(e))
    a(lambda: o.eventfd_read(e))
    m = o.memfd_create("m", o.MFD_ALLOW_SEALING)
    a(lambda: o.write(m, b"sealed"))
    a(lambda: o.fcntl(m, o.F_ADD_SEALS, o.F_SEAL_WRITE))
    a(lambda: o.write(m, b"x"))
    a(lambda: o.fcntl(m, o.F_GET_SEALS))
    a(o.memfd_create, "x" * 300)
    x, y = o.socketpair()
    a(lambda: o.write(x, b"over"))
    a(lambda: o.read(y, 10))
    o.close(x)
    a(lambda: o.read(y, 10))
    a(lambda: o.write(y, b"x"))


@scenario
def moving_data(o, a: Recorder):
    src = o.open("src", o.O_RDWR | o.O_CREAT)
    o.write(src, bytes(range(200)) * 100)
    dst = o.open("dst", o.O_RDWR | o.O_CREAT)
    o.lseek(src, 0, 0)
    a(lambda: o.sendfile(dst, src, 10, 1000))
    a(lambda: o.sendfile(dst, src, None, 500))
    a(lambda: o.lseek(src, 0, 1))
    a(lambda: o.sendfile(dst, src, -1, 500))
    a(lambda: o.copy_file_range(src, dst, 300, 5, 0))
    a(lambda: o.copy_file_range(src, dst, -1))
    a(lambda: o.copy_file_range(src, dst, 100_000))
    a(lambda: o.copy_file_range(src, src, 100, 0, 50))
    r, w = o.pipe()
    a(lambda: o.splice(src, w, 100, offset_src=7))
    a(lambda: o.splice(r, dst, 60, offset_dst=3))
    a(lambda: o.splice(r, dst, -60))
    a(lambda: o.splice(src, dst, 60))
    a(lambda: o.read(r, 100))
    a(lambda: o.pread(dst, 30_000, 0))


@scenario
def polling(o, a: Recorder):
    r, w = o.pipe()
    a(lambda: [len(x) for x in o.select([r], [w], [], 0)])
    p = o.poll()
    p.register(r, o.POLLIN)
    p.register(w)
    a(lambda: [events for fd, events in p.poll(0)])
    o.write(w, b"x")
    a(lambda: sorted(events for fd, events in p.poll(0)))
    a(lambda: o.select([r], [], [r], 0) == ([r], [], []))
    o.close(w)
    a(lambda: sorted(events for fd, events in p.poll()))
    p.modify(r, 0)
    p.unregister(w)
    a(p.unregister, 999)
    a(p.modify, 999, 0)
    a(lambda: [events for fd, events in p.poll(10)])
    a(lambda: o.select([], [], [], 0.01))
    a(lambda: o.select([], [], [], -1))
    a(lambda: o.select([999], [], [], 0))
    a(lambda: o.select([-1], [], [], 0))
    with o.epoll() as e:
        r, w = o.pipe()
        e.register(r, o.EPOLLIN)
        a(lambda: e.register(r))
        a(lambda: e.poll(0))
        o.write(w, b"x")
        a(lambda: e.poll() == [(r, o.EPOLLIN)])
        e.modify(r, 0)
        a(lambda: e.poll(0.01))
        e.unregister(r)
        a(lambda: e.unregister(r))
        a(lambda: e.poll(0, 0))
        a(lambda: e.register(o.open(".", o.O_RDONLY)))
    a(lambda: e.closed)
    a(e.fileno)


@scenario
def file_objects(o, a: Recorder):
    with o.fopen("f", "w") as f:
        a(f.write, "zwölf\nlines\r\n")
        a(lambda: (f.mode, f.name, f.readable(), f.writable(), f.seekable()))
        a(f.read)
    a(lambda: f.write("closed"))

    def content(mode="r"):
        with o.fopen("f", mode) as f:
            return f.read()

    a(content)
    a(content, "rb")
    with o.fopen("f") as f:
        a(list, f)
    with o.fopen("f", "r+b") as f:
        a(f.seek, 3)
        a(f.write, b"XYZ")
        a(f.tell)
        a(f.read)
        a(f.truncate, 4)
    with o.fopen("f", "a") as f:
        a(f.tell)
        f.write("more")
    a(content, "rb")
    a(o.fopen, "f", "x")
    a(o.fopen, "none")
    a(o.fopen, ".")
    a(o.fopen, "f", "rw")
    with o.fopen("f", "rb", buffering=0) as f:
        buffer = bytearray(3)
        a(f.readinto, buffer)
        a(f.readall)
        a.note(buffer)
    r, w = o.pipe()
    with o.fdopen(w, "w") as f:
        f.write("through a pipe\n")
    with o.fdopen(r) as f:
        a(f.readline)
        a(f.read)
        a(f.seekable)
    a(o.fstat, 999)


@scenario
def paths(o, a: Recorder):
    o.makedirs("d/e")
    o.close(o.open("d/f", o.O_CREAT))
    o.symlink("d", "s")
    o.symlink("s/f", "t")
    o.symlink("none", "dangling")
    o.symlink("loop", "loop")
    top = o.getcwd()
    for name in ("d", "d/f", "s", "t", "dangling", "loop", "none", b"d", "d/", "", 999):
        for function in (o.path.exists, o.path.isdir, o.path.isfile):
            a(function, name)
        if name != 999:
            for function in (o.path.lexists, o.path.islink, o.path.ismount):
                a(function, name)
    for name in ("t", "s/../s/e", "dangling/x", "loop/y", "", ".", "none/../d"):
        a(lambda name=name: o.path.realpath(name).removeprefix(top))
        a(lambda name=name: o.path.abspath(name).removeprefix(top))
    a(lambda: o.path.realpath(b"t").decode().removeprefix(top))
    with pytest.raises(FileNotFoundError):
        o.path.realpath("none", strict=True)
    with pytest.raises(OSError, match="symbolic links"):
        o.path.realpath("loop", strict=True)
    a(o.path.getsize, "d/f")
    a(o.path.getsize, "none")
    for text in (
        "",
        "/",
        "//",
        "///",
        "a",
        "a/",
        "/a",
        "a/b",
        "//a/b",
        "a//b/",
        "/..",
        "../a/..",
        "./a/./b",
        "a/../..",
        b"a/b.c",
    ):
        for function in (o.path.split, o.path.basename, o.path.dirname, o.path.normpath, o.path.isabs, o.path.splitext):
            a(function, text)
    for text in (".bashrc", "a.b.c", "a.", "..", "...x", "d.e/f"):
        a(o.path.splitext, text)
    a(o.path.join, "a", "b", "/c", "d/", "", "e")
    a(o.path.join, b"a", b"b")
    a(o.path.join, "a", b"b")
    a(o.path.join, "", "x")
    a(o.path.relpath, "a/b", "a/c")
    a(o.path.relpath, "a")
    a(o.path.relpath, "")


@scenario
def permissions(o, a: Recorder):
    """Of another user and group, where the host lets us be one."""
    for name, mode in (("open", 0o777), ("closed", 0o700), ("group", 0o750), ("search", 0o711), ("sticky", 0o1777)):
        o.mkdir(name)
        o.close(o.open(f"{name}/f", o.O_CREAT))
        o.chmod(name, mode)
        o.chmod(f"{name}/f", 0o640)
    if o.getuid() != 0:
        return
    o.chmod(".", 0o755)
    o.chown("open", 1000, 50)
    o.chown("group", 0, 50)
    o.chown("group/f", 0, 50)
    for uid, gid, groups in ((1000, 1000, []), (1000, 1000, [50]), (1001, 50, [])):
        before = o.getgroups()
        o.setgroups(groups)
        o.setegid(gid)
        o.seteuid(uid)
        a(lambda: (o.geteuid(), o.getegid(), o.getuid(), o.getgroups()))
        for name in ("open", "closed", "group", "search", "sticky"):
            a(lambda name=name: sorted(o.listdir(name)))
            a(o.chdir, name)
            o.chdir("..") if o.path.basename(o.getcwd()) == name else None
            for mode in (o.R_OK, o.W_OK, o.X_OK, o.R_OK | o.W_OK):
                a(o.access, name, mode)
                a(o.access, f"{name}/f", mode, effective_ids=True)
            for flags in (o.O_RDONLY, o.O_WRONLY, o.O_RDWR | o.O_CREAT, o.O_WRONLY | o.O_TRUNC):
                a.quiet(o.open, f"{name}/f", flags)
            a(o.stat, f"{name}/none")
            a(o.chmod, f"{name}/f", 0o666)
            a(o.chown, f"{name}/f", uid, -1)
            a.nameless(o.utime, f"{name}/f", (1, 1))
            a.nameless(o.utime, f"{name}/f")
            a(o.truncate, f"{name}/f", 0)
            a(o.mkdir, f"{name}/d{uid}{gid}{len(groups)}")
            a(o.link, f"{name}/f", f"{name}/l{uid}{gid}{len(groups)}")
            a(o.rename, f"{name}/f", f"{name}/g")
            a(o.unlink, f"{name}/f")
            a(o.rmdir, f"{name}/d{uid}{gid}{len(groups)}")
            a(lambda name=name: oct(o.stat(f"{name}/f").st_mode))
        a(o.seteuid, 7)
        a(o.setuid, 7)
        a(o.setgroups, [1])
        a(o.mknod, "open/device", 0o20600, o.makedev(1, 3))
        o.seteuid(0)
        o.setegid(0)
        o.setgroups(before)
    a(lambda: sorted((p, sorted(d), sorted(f)) for p, d, f in o.walk(".")))


@scenario
def ids(o, a: Recorder):
    a(lambda: (o.getuid(), o.geteuid(), o.getgid(), o.getegid(), o.getresuid(), o.getresgid()))
    a(lambda: o.getpgid(0) == o.getpgrp() == o.getpgid(o.getpid()))
    a(lambda: o.getsid(0) == o.getsid(o.getpid()))
    a(lambda: o.getppid() < o.getpid())
    a(lambda: [type(x) for x in o.uname()])
    a(lambda: (len(o.urandom(33)), len(o.getrandom(5))))
    a(o.urandom, -1)
    a(lambda: o.waitpid(4_000_000, o.WNOHANG))
    a(lambda: o.waitstatus_to_exitcode(768))
    a(o.kill, 4_000_000, 0)
    a(lambda: o.kill(o.getpid(), 0))
    a(o.fsencode, "é\udcff")
    a(o.fsdecode, b"\xff")
    a(o.fspath, PurePosixPath("x"))
    a(o.fspath, 1)


# -- the shape ----------------------------------------------------------------------------------------------------


def test_constants_are_those_of_linux() -> None:
    theirs = {name: getattr(os, name) for name in dir(os) if name.isupper() and hasattr(Posix, name)}
    assert len(theirs) > 60
    assert {name: getattr(Posix, name) for name in theirs} == theirs


#: Parameters that differ on purpose.
_OTHER = {"fcntl": "of the module fcntl", "poll": "of the module select", "fdopen": "its parameters are spelt out"}


def test_parameters_are_called_as_those_of_os() -> None:
    compared = 0
    for name in dir(pylitebox.Posix):
        ours, theirs = getattr(pylitebox.Posix, name), getattr(os, name, None)
        if name.startswith("_") or not callable(theirs) or not callable(ours) or isinstance(theirs, type):
            continue
        try:
            expected = inspect.signature(theirs).parameters
        except ValueError:  # a built-in function that doesn't say
            continue
        if name in _OTHER:
            continue
        got = dict(inspect.signature(ours).parameters)
        got.pop("self", None)
        compared += 1
        assert len(got) == len(expected), name
        for have, want in zip(got.values(), expected.values(), strict=True):
            assert have.kind == want.kind, (name, have)
            # names that nobody can use differ between versions of Python
            assert have.name == want.name or want.kind == inspect.Parameter.POSITIONAL_ONLY, (name, have)
            if isinstance(want.default, int | str | bool):
                assert have.default == want.default, (name, have)
    assert compared > 80


def test_what_runs_programs_is_not_there() -> None:
    with pylitebox.Posix() as box:
        assert not hasattr(box, "fork")
        with pytest.raises(AttributeError, match=r"pylitebox.Sandbox can"):
            box.system  # noqa: B018
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            box.nonsense  # noqa: B018
