"""Pipes, poll, select, epoll, eventfd, timerfd, signalfd and memfd, on the host and on our kernel alike where no
test has to wait."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import poll as po
from pylitebox.abi import signal as sg
from pylitebox.kernel.signals import Action, SigInfo, post_task
from tests.north.bench import PARKED, Bench, Guest
from tests.north.conftest import AnyGuest

PAIR = struct.Struct("<ii")
TIMESPEC = struct.Struct("<qq")


def pipe(g: AnyGuest, flags: int = 0) -> tuple[int, int]:
    fds = bytearray(8)
    assert g("pipe2", fds, flags) == 0
    return PAIR.unpack(fds)


def events(g: AnyGuest, fd: int) -> int:
    array = bytearray(po.POLLFD.pack(fd, 0xFFFF, 0))
    g("poll", array, 1, 0)
    return po.POLLFD.unpack(array)[2]


def write(g: AnyGuest, fd: int, data: bytes) -> int:
    return g("write", fd, data, len(data))


def read(g: AnyGuest, fd: int, size: int) -> bytes | int:
    buffer = bytearray(size)
    result = g("read", fd, buffer, size)
    return bytes(buffer[:result]) if result >= 0 else result


# -- pipes --------------------------------------------------------------------------------------------------------


def test_pipe_events(g: AnyGuest) -> None:
    r, w = pipe(g, fc.O_NONBLOCK)
    assert (events(g, r), events(g, w)) == (0, po.POLLOUT | po.POLLWRNORM)
    assert write(g, w, bytes(65536)) == 65536
    assert write(g, w, b"x") == -E.EAGAIN
    assert (events(g, r), events(g, w)) == (po.POLLIN | po.POLLRDNORM, 0)
    assert len(read(g, r, 4095)) == 4095
    assert write(g, w, b"x") == -E.EAGAIN, "a page is given back when all of it was read"
    assert events(g, w) == 0
    assert len(read(g, r, 1)) == 1
    assert events(g, w) == po.POLLOUT | po.POLLWRNORM
    assert g("close", w) == 0
    assert events(g, r) == po.POLLIN | po.POLLRDNORM | po.POLLHUP
    assert len(read(g, r, 1 << 17)) == 65536 - 4096
    assert read(g, r, 1) == b""
    assert events(g, r) == po.POLLHUP


def test_pipe_without_readers(g: AnyGuest) -> None:
    r, w = pipe(g)
    assert g("close", r) == 0
    assert events(g, w) == po.POLLOUT | po.POLLWRNORM | po.POLLERR
    assert write(g, w, b"") == 0


def test_pipe_small_writes_are_atomic(g: AnyGuest) -> None:
    r, w = pipe(g, fc.O_NONBLOCK)
    assert g("fcntl", w, fc.F_SETPIPE_SZ, 4096) == 4096
    assert write(g, w, bytes(100)) == 100
    assert write(g, w, bytes(4000)) == -E.EAGAIN, "all or nothing"
    assert write(g, w, bytes(3996)) == 3996
    assert g("fcntl", w, fc.F_SETPIPE_SZ, 5000) == 8192
    assert write(g, w, bytes(5000)) == 4096, "as much as fits"
    assert g("fcntl", w, fc.F_SETPIPE_SZ, 4096) == -E.EBUSY
    assert g("fcntl", r, fc.F_GETPIPE_SZ, 0) == 8192


def test_pipe_packets(g: AnyGuest) -> None:
    r, w = pipe(g, fc.O_DIRECT | fc.O_NONBLOCK)
    assert write(g, w, b"one") == 3
    assert write(g, w, b"three") == 5
    assert read(g, r, 2) == b"on"
    assert read(g, r, 100) == b"three"


def test_pipe_flags_are_checked(g: AnyGuest) -> None:
    assert g("pipe2", bytearray(8), fc.O_APPEND) == -E.EINVAL
    assert g("pipe2", 8, 0) == -E.EFAULT


def test_pipe_opened_again_by_its_descriptor(g: AnyGuest) -> None:
    g("mknod", "f", 0o10600, 0)
    r = g("openat", fc.AT_FDCWD, "f", fc.O_RDONLY | fc.O_NONBLOCK, 0)
    assert events(g, r) == 0, "no hang-up before a writer has come"
    assert read(g, r, 1) == b""
    w = g("openat", fc.AT_FDCWD, "f", fc.O_WRONLY, 0)
    assert write(g, w, b"x") == 1
    g("close", w)
    assert events(g, r) == po.POLLIN | po.POLLRDNORM | po.POLLHUP
    g("close", r)
    assert g("openat", fc.AT_FDCWD, "f", fc.O_WRONLY | fc.O_NONBLOCK, 0) == -E.ENXIO
    both = g("openat", fc.AT_FDCWD, "f", fc.O_RDWR | fc.O_NONBLOCK, 0)
    assert read(g, both, 1) == -E.EAGAIN, "the first pipe's data went with it"


def test_fifo_open_waits_for_its_partner(bench: Bench) -> None:
    reader, writer = bench.guest(), bench.guest()
    assert reader("mknod", "/f", 0o10600, 0) == 0
    assert reader("openat", fc.AT_FDCWD, "/f", fc.O_RDONLY, 0) is PARKED
    assert writer("openat", fc.AT_FDCWD, "/f", fc.O_WRONLY, 0) == 0
    assert writer("close", 0) == 0
    bench.run()
    assert reader.result == 0, "the partner came, though it has gone again"


def test_a_blocking_write_ends_when_all_is_read(bench: Bench) -> None:
    g = bench.guest()
    r, w = pipe(g)
    h = bench.guest()
    h.task.files.install(g.task.files.get(r))
    assert g("write", w, bytes(200_000), 200_000) is PARKED
    got = 0
    while g.parked:
        got += len(read(h, 0, 65536))
        bench.run()
    assert g.result == 200_000
    while got < 200_000:
        got += len(read(h, 0, 65536))
    assert got == 200_000


# -- poll and select ----------------------------------------------------------------------------------------------


def test_poll_counts_and_answers(g: AnyGuest) -> None:
    r, w = pipe(g)
    array = bytearray(b"".join(po.POLLFD.pack(fd, po.POLLIN | po.POLLOUT, 7) for fd in (r, w, -1, 999)))
    assert g("poll", array, 4, -1) == 2
    answers = [answer for _, _, answer in po.POLLFD.iter_unpack(array)]
    assert answers == [0, po.POLLOUT, 0, po.POLLNVAL]
    assert g("poll", 0, 0, 0) == 0
    assert g("poll", 8, 1, 0) == -E.EFAULT
    assert g("ppoll", array, 4, TIMESPEC.pack(0, 10**9), 0, 8) == -E.EINVAL
    assert g("ppoll", array, 4, TIMESPEC.pack(-1, 0), 0, 8) == -E.EINVAL
    assert g("ppoll", array, 4, 0, bytes(8), 4) == -E.EINVAL


def test_poll_waits_for_its_deadline(bench: Bench) -> None:
    g = bench.guest()
    r, _ = pipe(g)
    begin = bench.platform.time_ns
    assert g("poll", po.POLLFD.pack(r, po.POLLIN, 0), 1, 250) is PARKED
    bench.kernel.step()
    assert g.result == 0
    assert bench.platform.time_ns == begin + 250_000_000


def test_poll_wakes_and_survives_a_close(bench: Bench) -> None:
    g = bench.guest()
    h = bench.guest()
    r, w = pipe(g)
    h.task.files.install(g.task.files.get(w))
    assert g("poll", po.POLLFD.pack(r, po.POLLIN, 0), 1, -1) is PARKED
    g.task.files.close(r)  # as another thread could
    assert write(h, 0, b"x") == 1, "the pipe still has its reader"
    bench.run()
    assert g.result == 1


def test_select(g: AnyGuest) -> None:
    r, w = pipe(g)
    size = 16
    bits = (1 << r | 1 << w).to_bytes(size, "little")
    reads, writes, others = bytearray(bits), bytearray(bits), bytearray(bits)
    count = max(r, w) + 1
    assert g("select", count, reads, writes, others, bytes(16)) == 1
    assert (reads[:8], writes[:8], others[:8]) == (bytes(8), (1 << w).to_bytes(8, "little"), bytes(8))
    assert g("close", w) == 0
    reads = bytearray((1 << r).to_bytes(size, "little"))
    assert g("select", count, reads, 0, 0, 0) == 1, "the end is readable"
    bad = bytearray((1 << 60).to_bytes(size, "little"))
    assert g("select", 61, bad, 0, 0, bytes(16)) == -E.EBADF
    assert g("select", 60, bad, 0, 0, bytes(16)) == 0
    assert g("select", 1 << 20, bytearray(1 << 17), 0, 0, bytes(16)) == 0
    assert g("select", -1, 0, 0, 0, 0) == -E.EINVAL
    assert g("select", 0, 0, 0, 0, TIMESPEC.pack(-1, 0)) == -E.EINVAL
    assert g("select", 0, 0, 0, 0, bytearray(TIMESPEC.pack(0, 2_000))) in (0, PARKED)


def test_select_stores_the_time_left(bench: Bench) -> None:
    g = bench.guest()
    h = bench.guest()
    r, w = pipe(g)
    h.task.files.install(g.task.files.get(w))
    left = g.place(TIMESPEC.pack(2, 0))
    reads = g.place((1 << r).to_bytes(8, "little"))
    assert g("select", r + 1, reads, 0, 0, left) is PARKED
    bench.platform.time_ns += 500_000_000
    write(h, 0, b"x")
    bench.run()
    assert g.result == 1
    assert TIMESPEC.unpack(g.peek(left, 16)) == (1, 500_000)


def handle(g: Guest, signo: int) -> None:
    g.task.process.actions.set(signo, Action(handler=0x1000))


def test_a_signal_interrupts_each_call_as_linux_does(bench: Bench) -> None:
    for call, restart in (
        (("poll", 0, 0, -1), 516),
        (("ppoll", 0, 0, 0, 0, 8), 514),
        (("select", 0, 0, 0, 0, 0), 514),
    ):
        g = bench.guest()
        handle(g, sg.SIGUSR1)
        assert g(*call) is PARKED
        post_task(g.task, SigInfo(sg.SIGUSR1))
        bench.run()
        assert g.result == -E.EINTR
        assert g.task.interrupted == restart


def test_ppoll_lets_a_blocked_signal_in_and_keeps_the_mask_for_its_handler(bench: Bench) -> None:
    g = bench.guest()
    handle(g, sg.SIGUSR1)
    g.task.blocked = sg.bit(sg.SIGUSR1)
    post_task(g.task, SigInfo(sg.SIGUSR1))
    assert not g.task.signal_pending
    assert g("ppoll", 0, 0, TIMESPEC.pack(0, 0), bytes(8), 8) == -E.EINTR, "even with no time to wait"
    assert g.task.saved_mask == sg.bit(sg.SIGUSR1)
    assert g.task.blocked == 0


def test_ppoll_restores_the_mask_when_it_succeeds(bench: Bench) -> None:
    g = bench.guest()
    handle(g, sg.SIGUSR1)
    _, w = pipe(g)
    g.task.blocked = sg.bit(sg.SIGUSR1)
    post_task(g.task, SigInfo(sg.SIGUSR1))
    assert g("ppoll", po.POLLFD.pack(w, po.POLLOUT, 0), 1, 0, bytes(8), 8) == 1, "readiness goes first"
    assert g.task.blocked == sg.bit(sg.SIGUSR1)
    g = bench.guest()
    g.task.blocked = 8
    assert g("ppoll", 0, 0, TIMESPEC.pack(0, 5), bytes(8), 8) is PARKED
    assert g.task.blocked == 0
    bench.kernel.step()
    assert g.result == 0
    assert (g.task.blocked, g.task.saved_mask) == (8, None)


# -- epoll --------------------------------------------------------------------------------------------------------


def control(g: AnyGuest, ep: int, op: int, fd: int, wanted: int = 0, data: int = 0) -> int:
    return g("epoll_ctl", ep, op, fd, po.EPOLL_EVENT_X86_64.pack(wanted, data))


def wait(g: AnyGuest, ep: int, count: int = 8, timeout: int = 0) -> list[tuple[int, int]] | int:
    array = bytearray(12 * count)
    result = g("epoll_wait", ep, array, count, timeout)
    return list(po.EPOLL_EVENT_X86_64.iter_unpack(array))[:result] if result >= 0 else result


def test_epoll_levels(g: AnyGuest) -> None:
    ep = g("epoll_create1", 0)
    r, w = pipe(g)
    assert control(g, ep, po.EPOLL_CTL_ADD, r, po.POLLIN, 5) == 0
    assert control(g, ep, po.EPOLL_CTL_ADD, r, po.POLLIN, 5) == -E.EEXIST
    assert wait(g, ep) == []
    assert events(g, ep) == 0
    write(g, w, b"ab")
    assert events(g, ep) == po.POLLIN | po.POLLRDNORM
    assert wait(g, ep) == [(po.POLLIN, 5)]
    assert wait(g, ep) == [(po.POLLIN, 5)]
    read(g, r, 2)
    assert wait(g, ep) == []
    g("close", w)
    assert wait(g, ep) == [(po.POLLHUP, 5)]
    assert control(g, ep, po.EPOLL_CTL_DEL, r) == 0
    assert control(g, ep, po.EPOLL_CTL_DEL, r) == -E.ENOENT
    assert control(g, ep, po.EPOLL_CTL_MOD, r, 1) == -E.ENOENT
    assert wait(g, ep) == []


def test_epoll_edges_and_single_shots(g: AnyGuest) -> None:
    ep = g("epoll_create1", 0)
    r, w = pipe(g)
    assert control(g, ep, po.EPOLL_CTL_ADD, r, po.POLLIN | po.EPOLLET, 1) == 0
    write(g, w, b"a")
    assert wait(g, ep) == [(po.POLLIN, 1)]
    assert wait(g, ep) == []
    write(g, w, b"b")
    assert wait(g, ep) == [(po.POLLIN, 1)]
    assert control(g, ep, po.EPOLL_CTL_MOD, r, po.POLLIN | po.EPOLLONESHOT, 2) == 0
    assert wait(g, ep) == [(po.POLLIN, 2)]
    write(g, w, b"c")
    assert wait(g, ep) == []
    assert control(g, ep, po.EPOLL_CTL_MOD, r, po.POLLIN | po.EPOLLONESHOT, 3) == 0
    assert wait(g, ep) == [(po.POLLIN, 3)]


def test_epoll_takes_turns(g: AnyGuest) -> None:
    ep = g("epoll_create1", 0)
    for data in range(3):
        _, w = pipe(g)
        control(g, ep, po.EPOLL_CTL_ADD, w, po.POLLOUT, data)
    assert [wait(g, ep, 2) for _ in range(3)] == [
        [(po.POLLOUT, 0), (po.POLLOUT, 1)],
        [(po.POLLOUT, 2), (po.POLLOUT, 0)],
        [(po.POLLOUT, 1), (po.POLLOUT, 2)],
    ]


def test_epoll_entries_live_as_long_as_the_file(g: AnyGuest) -> None:
    ep = g("epoll_create1", 0)
    r, w = pipe(g)
    control(g, ep, po.EPOLL_CTL_ADD, r, po.POLLIN, 1)
    copy = g("dup", r)
    write(g, w, b"x")
    g("close", r)
    assert wait(g, ep) == [(po.POLLIN, 1)], "the open file description is still there"
    g("close", copy)
    assert wait(g, ep) == []


def test_epoll_refusals(g: AnyGuest) -> None:
    ep = g("epoll_create1", 0)
    r, _ = pipe(g)
    file = g("openat", fc.AT_FDCWD, "file", fc.O_CREAT | fc.O_RDWR, 0o600)
    assert control(g, ep, po.EPOLL_CTL_ADD, file, po.POLLIN) == -E.EPERM
    assert control(g, ep, po.EPOLL_CTL_ADD, ep, po.POLLIN) == -E.EINVAL
    assert control(g, ep, po.EPOLL_CTL_ADD, 999, po.POLLIN) == -E.EBADF
    assert control(g, r, po.EPOLL_CTL_ADD, ep, po.POLLIN) == -E.EINVAL
    assert control(g, ep, 9, r, po.POLLIN) == -E.EINVAL
    assert g("epoll_ctl", ep, po.EPOLL_CTL_ADD, r, 8) == -E.EFAULT
    assert wait(g, ep, 0) == -E.EINVAL
    assert wait(g, r) == -E.EINVAL
    assert g("epoll_create", 0) == -E.EINVAL
    other = g("epoll_create1", fc.O_CLOEXEC)
    assert control(g, ep, po.EPOLL_CTL_ADD, other, po.POLLIN) == 0
    assert control(g, other, po.EPOLL_CTL_ADD, ep, po.POLLIN) == -E.ELOOP


def test_epoll_sets_nest(g: AnyGuest) -> None:
    inner, outer = g("epoll_create1", 0), g("epoll_create1", 0)
    r, w = pipe(g)
    control(g, inner, po.EPOLL_CTL_ADD, r, po.POLLIN, 1)
    control(g, outer, po.EPOLL_CTL_ADD, inner, po.POLLIN, 2)
    assert wait(g, outer) == []
    write(g, w, b"x")
    assert wait(g, outer) == [(po.POLLIN, 2)]
    chain = [g("epoll_create1", 0) for _ in range(6)]
    results = [control(g, a, po.EPOLL_CTL_ADD, b, po.POLLIN) for a, b in zip(chain, chain[1:], strict=False)]
    assert results == [0, 0, 0, 0, -E.ELOOP]


def test_epoll_waits(bench: Bench) -> None:
    g, h = bench.guest(), bench.guest()
    ep = g("epoll_create1", 0)
    r, w = pipe(g)
    h.task.files.install(g.task.files.get(w))
    control(g, ep, po.EPOLL_CTL_ADD, r, po.POLLIN, 1)
    array = g.place(bytes(12))
    assert g("epoll_wait", ep, array, 1, -1) is PARKED
    write(h, 0, b"x")
    bench.run()
    assert g.result == 1
    assert po.EPOLL_EVENT_X86_64.unpack(g.peek(array, 12)) == (po.POLLIN, 1)
    read(g, r, 1)
    assert g("epoll_pwait2", ep, array, 1, TIMESPEC.pack(0, 5), 0, 0) is PARKED
    bench.kernel.step()
    assert g.result == 0
    handle(g, sg.SIGUSR1)
    assert g("epoll_wait", ep, array, 1, -1) is PARKED
    post_task(g.task, SigInfo(sg.SIGUSR1))
    bench.run()
    assert g.result == -E.EINTR
    assert g.task.interrupted is None, "epoll_wait is never restarted"


# -- eventfd, timerfd, signalfd -----------------------------------------------------------------------------------


def test_eventfd(g: AnyGuest) -> None:
    fd = g("eventfd2", 3, fc.O_NONBLOCK)
    assert events(g, fd) == po.POLLIN | po.POLLOUT
    assert read(g, fd, 7) == -E.EINVAL
    assert read(g, fd, 9) == (3).to_bytes(8, "little")
    assert read(g, fd, 8) == -E.EAGAIN
    most = (1 << 64) - 2
    assert write(g, fd, most.to_bytes(8, "little")) == 8
    assert events(g, fd) == po.POLLIN
    assert write(g, fd, (1).to_bytes(8, "little")) == -E.EAGAIN
    assert write(g, fd, b"\xff" * 8) == -E.EINVAL
    assert write(g, fd, b"1") == -E.EINVAL
    semaphore = g("eventfd2", 2, 1)
    assert read(g, semaphore, 8) == (1).to_bytes(8, "little")
    assert g("eventfd2", 0, 2) == -E.EINVAL


def test_timerfd(g: AnyGuest) -> None:
    assert g("timerfd_create", 2, 0) == -E.EINVAL
    fd = g("timerfd_create", 1, fc.O_NONBLOCK)
    spec = struct.Struct("<qqqq")
    assert read(g, fd, 8) == -E.EAGAIN
    assert g("timerfd_settime", fd, 0, spec.pack(0, 10**9, 1, 0), 0) == -E.EINVAL
    assert g("timerfd_settime", fd, 4, spec.pack(0, 0, 1, 0), 0) == -E.EINVAL
    assert g("timerfd_settime", fd, 0, spec.pack(5, 0, 1000, 0), 0) == 0
    now = bytearray(32)
    assert g("timerfd_gettime", fd, now) == 0
    assert spec.unpack(now)[0] == 5
    assert 990 < spec.unpack(now)[2] <= 1000
    assert g("timerfd_settime", fd, 0, bytes(32), now) == 0
    assert spec.unpack(now)[0] == 5
    assert g("timerfd_gettime", 0x7FFF, now) == -E.EBADF
    assert g("timerfd_settime", fd, 1, spec.pack(0, 0, 0, 1), 0) == 0
    assert read(g, fd, 8) in ((1).to_bytes(8, "little"), -E.EAGAIN), "a time in the past is due at once"


def test_timerfd_counts_expirations(bench: Bench) -> None:
    g = bench.guest()
    fd = g("timerfd_create", 1, fc.O_NONBLOCK)
    ep = g("epoll_create1", 0)
    control(g, ep, po.EPOLL_CTL_ADD, fd, po.POLLIN, 1)
    assert g("timerfd_settime", fd, 0, struct.pack("<qqqq", 0, 100, 0, 1000), 0) == 0
    bench.platform.time_ns += 999
    bench.run()
    assert wait(g, ep) == []
    bench.platform.time_ns += 351
    bench.run()
    assert wait(g, ep) == [(po.POLLIN, 1)]
    assert read(g, fd, 8) == (4).to_bytes(8, "little")
    left = bytearray(32)
    g("timerfd_gettime", fd, left)
    assert struct.unpack("<qqqq", left) == (0, 100, 0, 50)
    bench.platform.time_ns += 50
    bench.run()
    assert read(g, fd, 8) == (1).to_bytes(8, "little")
    g("close", fd)
    assert bench.kernel.timers.next_deadline() is None


def test_signalfd(bench: Bench) -> None:
    g = bench.guest()
    mask = sg.bit(sg.SIGUSR1)
    g.task.blocked = mask
    fd = g("signalfd4", -1, mask.to_bytes(8, "little"), 8, 0)
    buffer = g.place(bytes(256))
    assert g("read", fd, buffer, 256) is PARKED
    post_task(g.task, SigInfo(sg.SIGUSR1, pid=7))
    bench.run()
    assert g.result == 128
    assert struct.unpack("<IiiI", g.peek(buffer, 16)) == (sg.SIGUSR1, 0, 0, 7)
    assert not g.task.pending
    assert events(g, fd) == 0


# -- memfd --------------------------------------------------------------------------------------------------------


def test_memfd_seals(g: AnyGuest) -> None:
    fd = g("memfd_create", "name", 2)
    assert write(g, fd, b"hello") == 5
    assert g("fcntl", fd, fc.F_ADD_SEALS, fc.F_SEAL_GROW | fc.F_SEAL_SHRINK) == 0
    assert g("pwrite64", fd, b"J", 1, 0) == 1
    assert write(g, fd, b"x") == -E.EPERM
    assert g("ftruncate", fd, 1) == -E.EPERM
    assert g("ftruncate", fd, 9) == -E.EPERM
    assert g("fcntl", fd, fc.F_ADD_SEALS, fc.F_SEAL_WRITE | fc.F_SEAL_SEAL) == 0
    assert g("pwrite64", fd, b"J", 1, 0) == -E.EPERM
    assert g("fcntl", fd, fc.F_ADD_SEALS, fc.F_SEAL_WRITE) == -E.EPERM
    assert g("fcntl", fd, fc.F_GET_SEALS, 0) == 15
    assert g("memfd_create", "x" * 250, 0) == -E.EINVAL
    assert g("memfd_create", "x" * 249, 0) >= 0
    assert g("memfd_create", "", 0x40) == -E.EINVAL
    plain = g("memfd_create", "", 0)
    assert g("fcntl", plain, fc.F_GET_SEALS, 0) == fc.F_SEAL_SEAL
    assert g("fcntl", plain, fc.F_ADD_SEALS, fc.F_SEAL_GROW) == -E.EPERM


@pytest.mark.parametrize("call", ["inotify_init1", "inotify_init"])
def test_inotify_is_not_there(bench: Bench, call: str) -> None:
    assert bench.guest()(call, 0) == -E.ENOSYS
