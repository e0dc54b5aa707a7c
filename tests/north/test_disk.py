"""Calls on files whose bytes the host's disk has still to bring: they wait, and nothing interrupts them."""

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import mman as mm
from pylitebox.abi.signal import SIGUSR1
from pylitebox.kernel.fs.hostfs import HostFs
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.kernel.signals import Action, SigInfo, post_task, set_action
from pylitebox.south.mock.host import Disk, Entry, MockDirectory
from tests.north.bench import PARKED

CONTENT = bytes(range(256)) * 1024


@pytest.fixture
def slow(bench):
    """A guest, a disk, and a way to let the disk do its work until the call is done."""
    disk = Disk()
    lower = HostFs(bench.kernel, MockDirectory({"f": Entry(CONTENT, 0o644, slow=True)}, disk))
    bench.kernel.namespace.mount(OverlayFs(bench.kernel, lower), b"/o")
    g = bench.guest()
    set_action(g.task, SIGUSR1, Action(handler=0x4000))

    def finish():
        post_task(g.task, SigInfo(SIGUSR1))  # is held back: nothing interrupts these waits
        for _ in range(1000):
            bench.run()
            if not g.parked:
                return g.result
            assert disk.serve(), "it waits for nothing"
        raise AssertionError("never done")

    return g, finish


def content(g, fd, size):
    address = g.thread.memory.map(size)
    return g("pread64", fd, address, size, 0), address


@pytest.mark.parametrize("flags", [0, fc.O_NONBLOCK])
def test_read(slow, flags):
    g, finish = slow
    fd = g("open", "/o/f", flags, 0)
    target = g.place(bytes(100))
    assert g("read", fd, target, 100) is PARKED
    assert finish() == 100
    assert g.peek(target, 100) == CONTENT[:100]


def test_a_small_change_copies_up(slow):
    g, finish = slow
    fd = g("open", "/o/f", fc.O_RDWR, 0)
    result = g("pwrite64", fd, b"X", 1, 100_000)
    assert (finish() if result is PARKED else result) == 1
    target = g.place(bytes(10))
    result = g("pread64", fd, target, 10, 99_998)
    assert (finish() if result is PARKED else result) == 10
    assert g.peek(target, 10) == CONTENT[99_998:100_000] + b"X" + CONTENT[100_001:100_008]


@pytest.mark.parametrize("call", ["truncate", "ftruncate"])
def test_truncate(slow, call):
    g, finish = slow
    fd = g("open", "/o/f", fc.O_RDWR, 0)
    result = g(call, "/o/f" if call == "truncate" else fd, 1000)
    assert (finish() if result is PARKED else result) == 0
    target = g.place(bytes(2000))
    result = g("pread64", fd, target, 2000, 0)
    assert (finish() if result is PARKED else result) == 1000
    assert g.peek(target, 1000) == CONTENT[:1000]


def test_a_shared_mapping_waits_for_all_of_it(slow):
    g, finish = slow
    fd = g("open", "/o/f", fc.O_RDWR, 0)
    assert g("mmap", 0, 4096, 3, mm.MAP_SHARED, fd, 0) is PARKED
    g.task.files.close(fd)  # by another thread: the call has its own hold on the file
    assert finish() > 0
    assert g("close", fd) == -E.EBADF
