"""poll, select and their signal masks, on the host and on our kernel alike where no test has to wait."""

from pylitebox.abi import errno as E
from pylitebox.abi import poll as po
from pylitebox.abi import signal as sg
from pylitebox.kernel.signals import SigInfo, post_task
from tests.north.bench import PARKED, Bench
from tests.north.calls import TIMESPEC, handle, pipe, write
from tests.north.conftest import AnyGuest


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
    closed = g("dup", r)
    assert g("close", closed) == 0
    size = 128

    def members(*fds: int) -> bytearray:
        return bytearray(sum(1 << fd for fd in fds).to_bytes(size, "little"))

    reads, writes, others = members(r, w), members(r, w), members(r, w)
    assert g("select", w + 1, reads, writes, others, bytes(16)) == 1
    used = (w + 64) // 64 * 8
    assert (reads[:used], writes[:used], others[:used]) == (bytes(used), members(w)[:used], bytes(used))
    assert g("select", closed + 1, members(closed), 0, 0, bytes(16)) == -E.EBADF
    assert g("select", closed, members(closed), 0, 0, bytes(16)) == 0, "what lies beyond is ignored"
    assert g("close", w) == 0
    assert g("select", r + 1, members(r), 0, 0, 0) == 1, "the end is readable"
    assert g("select", 1 << 20, bytearray(1 << 17), 0, 0, bytes(16)) == 0
    assert g("select", -1, 0, 0, 0, 0) == -E.EINVAL
    assert g("select", 0, 0, 0, 0, TIMESPEC.pack(-1, 0)) == -E.EINVAL
    assert g("pselect6", 0, 0, 0, 0, TIMESPEC.pack(0, 10**9), 0) == -E.EINVAL


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
