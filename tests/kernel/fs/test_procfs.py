"""/proc and /dev as processes see them."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import ioctl as io
from pylitebox.abi import stat as st
from pylitebox.abi import termios as tm
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.devfs import DevFs
from pylitebox.kernel.fs.procfs import ProcFs
from pylitebox.kernel.fs.sysfs import SysFs
from pylitebox.kernel.stream import StreamFile
from pylitebox.kernel.wait import WaitQueue
from tests.north.bench import PARKED, Bench, Guest


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    assert bench.kernel.namespace is not None
    bench.kernel.namespace.mount(ProcFs(bench.kernel), b"/proc", 2)
    bench.kernel.namespace.mount(DevFs(bench.kernel), b"/dev")
    bench.platform.cpu_count = lambda: 2  # type: ignore[attr-defined]
    return bench


@pytest.fixture
def g(bench: Bench) -> Guest:
    return bench.guest()


def cat(g: Guest, path: str) -> bytes:
    fd = g("openat", fc.AT_FDCWD, path, fc.O_RDONLY, 0)
    assert isinstance(fd, int)
    assert fd >= 0, path
    buffer = bytearray(65536)
    size = g("read", fd, buffer, len(buffer))
    g("close", fd)
    return bytes(buffer[:size])


def readlink(g: Guest, path: str) -> bytes | int:
    buffer = bytearray(100)
    size = g("readlink", path, buffer, 100)
    assert isinstance(size, int)
    return bytes(buffer[:size]) if size >= 0 else size


def test_self_is_the_reader(bench: Bench) -> None:
    a, b = bench.guest(), bench.guest()
    assert readlink(a, "/proc/self") == b"%d" % a("getpid")
    assert readlink(b, "/proc/self") == b"%d" % b("getpid")
    assert readlink(a, "/proc/thread-self") == b"%d/task/%d" % (a("getpid"), a("gettid"))


def test_every_file_can_be_read(g: Guest) -> None:
    seen = 0

    def walk(path: str) -> None:
        nonlocal seen
        place = ops.resolve(g.task, path.encode(), follow=False)
        kind = place.inode.mode & st.S_IFMT
        if kind == st.S_IFDIR:
            entries = place.inode.readdir()
            assert len({name for name, _, _ in entries}) == len(entries)
            for name, ino, dtype in entries:
                inode = place.inode.lookup(name)
                assert (inode.ino, st.dtype(inode.mode)) == (ino, dtype), name
                walk(f"{path}/{name.decode()}")
        elif kind == st.S_IFREG:
            cat(g, path)
            seen += 1

    walk("/proc")
    assert seen > 60
    assert g.bench.kernel.internal_errors == 0


def test_status_and_stat(g: Guest) -> None:
    g.task.name = b"a) b"
    status = dict(line.split(b":\t", 1) for line in cat(g, "/proc/self/status").splitlines())
    assert status[b"Name"] == b"a) b"
    assert status[b"Pid"] == status[b"Tgid"] == b"%d" % g("getpid")
    assert status[b"Uid"] == b"0\t0\t0\t0"
    fields = cat(g, "/proc/self/stat")
    head, _, tail = fields.rpartition(b") ")
    assert head == b"%d (a) b" % g("getpid")
    assert len(tail.split()) == 50
    assert tail[:1] == b"R"


def test_state_of_a_parked_process(bench: Bench) -> None:
    a, b = bench.guest(), bench.guest()
    fds = bytearray(8)
    a("pipe", fds)
    assert a("read", 0, bytearray(1), 1) is PARKED
    assert b"\nState:\tS (sleeping)\n" in cat(b, f"/proc/{a.task.tid}/status")


def test_command_line_and_environment_come_from_memory(g: Guest) -> None:
    g.task.process.argv = [b"prog", b"arg"]
    assert cat(g, "/proc/self/cmdline") == b"prog\0arg\0"
    address = g.place(b"new\0title\0")
    g.task.process.layout.arg_area = (address, address + 10)
    assert cat(g, "/proc/self/cmdline") == b"new\0title\0"


def test_comm_is_written(g: Guest) -> None:
    fd = g("openat", fc.AT_FDCWD, "/proc/self/comm", fc.O_WRONLY | fc.O_TRUNC, 0)
    assert g("write", fd, "a very long name indeed\n", 24) == 24
    assert cat(g, "/proc/self/comm") == b"a very long nam\n"
    assert g("openat", fc.AT_FDCWD, "/proc/self/status", fc.O_WRONLY, 0) >= 0, "root may open what it cannot write"
    assert g("openat", fc.AT_FDCWD, "/proc/new", fc.O_WRONLY | fc.O_CREAT, 0o644) < 0


def test_descriptors(g: Guest) -> None:
    file = g("openat", fc.AT_FDCWD, "/file", fc.O_RDWR | fc.O_CREAT | fc.O_CLOEXEC, 0o644)
    g("write", file, "content", 7)
    fds = bytearray(8)
    g("pipe", fds)
    r, w = struct.unpack("<ii", fds)
    assert readlink(g, f"/proc/self/fd/{file}") == b"/file"
    text = readlink(g, f"/proc/self/fd/{r}")
    assert isinstance(text, bytes)
    assert text.startswith(b"pipe:[")
    assert readlink(g, "/proc/self/fd/77") == -E.ENOENT
    assert cat(g, f"/proc/self/fd/{file}") == b"content", "opened anew, at its start"
    again = g("openat", fc.AT_FDCWD, f"/dev/fd/{w}", fc.O_WRONLY, 0)
    assert g("write", again, "x", 1) == 1
    assert g("read", r, bytearray(9), 9) == 1
    assert cat(g, f"/proc/self/fdinfo/{file}").startswith(b"pos:\t7\nflags:\t02100002\n")
    assert g("unlink", "/file") == 0
    assert readlink(g, f"/proc/self/fd/{file}") == b"/file (deleted)"
    assert cat(g, f"/proc/self/fd/{file}") == b"content"
    socket = g("socket", 1, 1, 0)
    assert g("openat", fc.AT_FDCWD, f"/proc/self/fd/{socket}", fc.O_RDONLY, 0) == -E.ENXIO


def test_cwd_and_root(g: Guest) -> None:
    g("mkdir", "/d", 0o755)
    g("chdir", "/d")
    assert readlink(g, "/proc/self/cwd") == b"/d"
    assert g("openat", fc.AT_FDCWD, "/proc/self/cwd/x", fc.O_CREAT | fc.O_RDWR, 0o644) >= 0
    assert g("access", "/d/x", 0) == 0
    assert g("rmdir", "/d") == -E.ENOTEMPTY


def test_others_may_not_look_into_a_process(bench: Bench) -> None:
    secret = bench.guest()
    secret.task.process.environ = [b"PASSWORD=1"]
    from pylitebox.kernel.credentials import Credentials

    spy = bench.guest()
    spy.task.cred = Credentials.user(1000, 1000)
    pid = secret.task.tid
    assert spy("openat", fc.AT_FDCWD, f"/proc/{pid}/environ", fc.O_RDONLY, 0) == -E.EACCES
    assert readlink(spy, f"/proc/{pid}/cwd") == -E.EACCES
    assert spy("openat", fc.AT_FDCWD, f"/proc/{pid}/fd", fc.O_RDONLY, 0) == -E.EACCES
    assert cat(spy, f"/proc/{pid}/comm") == secret.task.name + b"\n"


def test_a_process_that_is_gone(bench: Bench) -> None:
    a, b = bench.guest(), bench.guest()
    pid = a.task.tid
    fd = b("openat", fc.AT_FDCWD, f"/proc/{pid}/stat", fc.O_RDONLY, 0)
    process = a.task.process
    process.tasks.clear()
    process.state = "dead"
    del bench.kernel.processes[pid], bench.kernel.tasks[pid]
    assert b("read", fd, bytearray(9), 9) == -E.ESRCH
    assert b("access", f"/proc/{pid}", 0) == -E.ENOENT


def test_mounts(g: Guest) -> None:
    assert cat(g, "/proc/mounts").splitlines()[1:] == [
        b"proc /proc proc rw,nosuid,relatime 0 0",
        b"devtmpfs /dev devtmpfs rw,relatime 0 0",
    ]
    line = cat(g, "/proc/self/mountinfo").splitlines()[1].split()
    assert line[3:7] == [b"/", b"/proc", b"rw,nosuid,relatime", b"-"]


def test_devices(g: Guest) -> None:
    null = g("openat", fc.AT_FDCWD, "/dev/null", fc.O_RDWR, 0)
    assert g("write", null, "xyz", 3) == 3
    assert g("read", null, bytearray(3), 3) == 0
    assert g("lseek", null, 5, fc.SEEK_SET) == 0
    buffer = bytearray(b"x" * 5)
    zero = g("openat", fc.AT_FDCWD, "/dev/zero", fc.O_RDWR, 0)
    assert g("read", zero, buffer, 5) == 5
    assert buffer == bytes(5)
    full = g("openat", fc.AT_FDCWD, "/dev/full", fc.O_RDWR, 0)
    assert g("write", full, "x", 1) == -E.ENOSPC
    random = g("openat", fc.AT_FDCWD, "/dev/urandom", fc.O_RDONLY, 0)
    assert g("read", random, buffer, 5) == 5
    assert g("openat", fc.AT_FDCWD, "/dev/tty", fc.O_RDWR, 0) == -E.ENXIO
    assert g("ioctl", null, io.TCGETS, buffer) == -E.ENOTTY


class Terminal:
    """A host stream that is a terminal with nothing typed yet."""

    kind = st.S_IFCHR
    termios: bytes | None = b"T" * tm.TERMIOS.size
    winsize: bytes | None = tm.WINSIZE.pack(24, 80, 0, 0)

    def __init__(self) -> None:
        self.queue = WaitQueue()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        self.written += bytes(data[:4])
        return min(4, len(data))

    def poll(self) -> int:
        return 4

    def close(self) -> None:
        self.closed = True


def test_a_terminal(g: Guest) -> None:
    terminal = Terminal()
    file = StreamFile(terminal)  # type: ignore[arg-type]
    fd = g.task.files.install(file)
    settings, size = bytearray(tm.TERMIOS.size), bytearray(8)
    assert g("ioctl", fd, io.TCGETS, settings) == 0
    assert settings == terminal.termios
    assert g("ioctl", fd, io.TIOCGWINSZ, size) == 0
    assert tm.WINSIZE.unpack(size) == (24, 80, 0, 0)
    assert g("ioctl", fd, io.TIOCGPGRP, size) == -E.ENOTTY
    assert g("write", fd, "hello world", 11) == 11, "in several pieces"
    assert terminal.written == b"hello world"
    assert readlink(g, f"/proc/self/fd/{fd}") == b"/dev/pts/0"
    again = g("openat", fc.AT_FDCWD, f"/proc/self/fd/{fd}", fc.O_WRONLY, 0)
    assert g("close", fd) == 0
    assert not terminal.closed
    assert g("close", again) == 0
    assert terminal.closed


def test_sys_says_what_the_platform_has(bench: Bench) -> None:
    assert bench.kernel.namespace is not None
    bench.kernel.namespace.mount(SysFs(bench.kernel), b"/sys")
    g = bench.guest()
    cpu = "/sys/devices/system/cpu"
    for name in ("online", "present", "possible"):
        assert cat(g, f"{cpu}/{name}") == b"0-1\n"
    assert cat(g, f"{cpu}/cpu1/topology/thread_siblings_list") == b"1\n"
    assert cat(g, f"{cpu}/cpu1/topology/core_siblings_list") == b"0-1\n"
    assert g("access", f"{cpu}/cpu2", 0) == -E.ENOENT
    assert g("openat", fc.AT_FDCWD, f"{cpu}/online", fc.O_WRONLY | fc.O_CREAT, 0) >= 0  # root may open all
    assert g("mkdirat", fc.AT_FDCWD, "/sys/new", 0o777) < 0
    assert g("unlinkat", fc.AT_FDCWD, f"{cpu}/online", 0) < 0
    status = bytearray(120)
    assert g("statfs", "/sys", status) == 0
    assert int.from_bytes(status[:8], "little") == 0x62656572


def test_oom_score_adj_is_inherited_and_only_root_lowers_it(bench: Bench) -> None:
    g = bench.guest()

    def write(guest: Guest, value: bytes) -> int:
        fd = guest("openat", fc.AT_FDCWD, "/proc/self/oom_score_adj", fc.O_WRONLY, 0)
        assert isinstance(fd, int)
        result = guest("write", fd, value, len(value))
        assert isinstance(result, int)
        guest("close", fd)
        return result

    assert write(g, b"300\n") == 4
    pid = g("fork")
    assert isinstance(pid, int)
    assert cat(g, f"/proc/{pid}/oom_score_adj") == b"300\n"
    g.task.cred = Credentials.user(1000, 1000)
    assert write(g, b"200") == -E.EACCES
    assert write(g, b"400") == 3
    assert write(g, b"1001") == -E.EINVAL
    assert write(g, b"many") == -E.EINVAL


def test_affinity_is_listed(bench: Bench) -> None:
    g = bench.guest()
    assert g("sched_setaffinity", 0, 8, (2).to_bytes(8, "little")) == 0
    status = cat(g, "/proc/self/status").splitlines()
    assert b"Cpus_allowed:\t2" in status
    assert b"Cpus_allowed_list:\t1" in status


def test_timers_and_children(bench: Bench) -> None:
    g = bench.guest()
    assert cat(g, "/proc/self/timers") == b""
    assert g("timer_create", 1, 0, bytearray(4)) == 0
    pid = g("getpid")
    assert cat(g, "/proc/self/timers") == (
        b"ID: 0\nsignal: 14/%016x\nnotify: signal/pid.%d\nClockID: 1\n" % (0, pid)
    )
    child = g("fork")
    assert cat(g, f"/proc/self/task/{pid}/children") == b"%d " % child
