"""epoll, on the host and on our kernel alike where no test has to wait."""

from itertools import pairwise

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import poll as po
from pylitebox.abi import signal as sg
from pylitebox.kernel.signals import SigInfo, post_task
from tests.north.bench import PARKED, Bench
from tests.north.calls import TIMESPEC, control, events, handle, pipe, read, wait, write
from tests.north.conftest import AnyGuest


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
    results = [control(g, a, po.EPOLL_CTL_ADD, b, po.POLLIN) for a, b in pairwise(chain)]
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
