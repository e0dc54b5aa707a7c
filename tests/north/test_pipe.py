"""Pipes and FIFOs, on the host and on our kernel alike where no test has to wait."""

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import poll as po
from tests.north.bench import PARKED, Bench
from tests.north.calls import events, pipe, read, write
from tests.north.conftest import AnyGuest


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
