"""A fourth platform, written from kernel/platform.py alone: the proof that the contract is enough.

It runs guests on the suite's own CPU (cpu.py), has memory in dictionaries, and needs nothing of the host but Python: no
part of the other platforms is used. Threads take turns, a few hundred instructions each. The kernel manages memory.
It is as slow as it looks, and no program of anybody's would run on it.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.abi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGINFO_SIZE, SIGSEGV
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.platform import HostedPlatform, ManagedThread, Usage
from tests.south.conformance import cpu
from tests.south.conformance.cpu import EFLAGS, RIP, SI_KERNEL, Trap

R8, RSI, RDI, RDX, RAX, RSP, R10, R9 = 0, 9, 8, 12, 13, 15, 2, 1
_MASK = (1 << 64) - 1
_NR_SIGRETURN, _NR_CLONE, _NR_EXIT_GROUP = 15, 56, 231
#: Bytes of a shared buffer.
_LARGEST = 1 << 30
#: Instructions of a turn.
_TURN = 400
_XMM0 = 160  # in an FXSAVE image


# -- memory -----------------------------------------------------------------------------------------------------------


class Region:
    """A range that was mapped at once, or what is left of it. ``offset``: where in the source it begins."""

    __slots__ = ("end", "offset", "prot", "shared", "source", "start")

    def __init__(self, start: int, end: int, prot: int, source: Any, offset: int, *, shared: bool) -> None:
        self.start = start
        self.end = end
        self.prot = prot
        self.source = source
        self.offset = offset
        self.shared = shared

    def part(self, start: int, end: int) -> Region:
        return Region(start, end, self.prot, self.source, self.offset + start - self.start, shared=self.shared)


class Space:
    """AddressSpace of the contract, and its Memory."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.pages: dict[int, bytearray] = {}  # the space's own, by address: all that was stored to
        self.faults = 0
        self.waits_for: Any = None  # the source that a thread's access must wait for

    @property
    def memory(self) -> Space:
        return self

    # -- the kernel's orders ----------------------------------------------------------------------------------

    def map(self, start: int, size: int, prot: int, source: Any, offset: int, *, shared: bool) -> None:
        self.regions.append(Region(start, start + size, prot, source, offset, shared=shared))
        if isinstance(source, Buffer):
            source.content.spaces.add(self)

    def unmap(self, start: int, size: int) -> None:
        self._take(start, start + size)
        self.discard(start, size)

    def protect(self, start: int, size: int, prot: int) -> None:
        changed = self._take(start, start + size)
        for region in changed:
            region.prot = prot
        self.regions += changed

    def move(self, start: int, size: int, new_start: int) -> None:
        shift = new_start - start
        moved = self._take(start, start + size)
        for region in moved:
            region.start, region.end = region.start + shift, region.end + shift
        self.regions += moved
        pages = {address: self.pages.pop(address) for address in self._own(start, size)}
        self.pages.update((address + shift, page) for address, page in pages.items())

    def discard(self, start: int, size: int) -> None:
        for address in self._own(start, size):
            del self.pages[address]

    def sync(self, start: int, size: int) -> None:
        """Nothing is kept back."""

    def fork(self) -> Space:
        child = Space()
        for region in self.regions:
            child.map(region.start, region.end - region.start, region.prot, region.source, region.offset,
                      shared=region.shared)  # fmt: skip
        child.pages = {address: bytearray(page) for address, page in self.pages.items()}
        return child

    def resident(self, start: int, size: int) -> bytes:
        return bytes(
            address in self.pages or self._region(address).source is not None  # type: ignore[union-attr]
            for address in range(start, start + size, PAGE_SIZE)
        )

    def drop(self) -> None:
        self.regions.clear()
        self.pages.clear()

    def _take(self, start: int, end: int) -> list[Region]:
        """Cut a range out of the regions; what was there."""
        taken = []
        for region in [region for region in self.regions if region.start < end and start < region.end]:
            self.regions.remove(region)
            if region.start < start:
                self.regions.append(region.part(region.start, start))
            if end < region.end:
                self.regions.append(region.part(end, region.end))
            taken.append(region.part(max(start, region.start), min(end, region.end)))
        return taken

    def _own(self, start: int, size: int) -> list[int]:
        return [address for address in self.pages if start <= address < start + size]

    def cut(self, content: Content, size: int) -> None:
        """A buffer has been truncated: copies of what lay behind its end are gone."""
        for region in self.regions:
            if isinstance(region.source, Buffer) and region.source.content is content:
                first = max(region.start, region.start - region.offset + (size + PAGE_SIZE - 1 & -PAGE_SIZE))
                self.discard(first, region.end - first)

    # -- pages ------------------------------------------------------------------------------------------------

    def _region(self, address: int) -> Region | None:
        return next((region for region in self.regions if region.start <= address < region.end), None)

    def _page(self, start: int, *, now: bool = True) -> bytes | bytearray | None:
        """What the page at an address shows; None behind the end of its source. WouldBlock unless ``now``."""
        page, region = self.pages.get(start), self._region(start)
        if page is not None:
            return page
        assert region is not None
        if region.source is None:
            return bytes(PAGE_SIZE)
        place = region.offset + start - region.start
        try:
            found = region.source.read_at(PAGE_SIZE, place)
        except WouldBlock:
            if not now:
                self.waits_for = region.source
                raise
            found = region.source.read_now(PAGE_SIZE, place)
        return bytes(found).ljust(PAGE_SIZE, b"\0") if found else None

    def _store(self, address: int, data: bytes) -> None:
        """Within one page, to which it is allowed."""
        start, region = address & -PAGE_SIZE, self._region(address)
        assert region is not None
        if region.shared:
            place = region.offset + address - region.start
            there = len(region.source.read_now(len(data), place))  # what lies behind the end is nobody's
            region.source.write_at(data[:there], place)
            return
        page = self.pages.get(start)
        if page is None:
            page = self.pages[start] = bytearray(self._page(start) or bytes(PAGE_SIZE))
        page[address - start : address - start + len(data)] = data

    # -- Memory: EFAULT where the guest may not ---------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        data = self._read(address, size)
        if len(data) != size:
            raise KernelError(E.EFAULT)
        return data

    def read_some(self, address: int, size: int) -> bytes:
        data = self._read(address, size)
        if not data and size:
            raise KernelError(E.EFAULT)
        return data

    def read_cstring(self, address: int, limit: int) -> bytes:
        data = self._read(address, limit)
        end = data.find(b"\0")
        if end >= 0:
            return data[:end]
        raise KernelError(E.EFAULT if len(data) < limit else E.ENAMETOOLONG)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        for place in range(address & -PAGE_SIZE, address + size, PAGE_SIZE) if size else ():
            if self._fault(place, PROT_WRITE) is not None:
                raise KernelError(E.EFAULT)
        self._write(address, bytes(data))

    def _read(self, address: int, size: int) -> bytes:
        parts = []
        while size > 0 and self._fault(address, PROT_READ) is None:
            within = address % PAGE_SIZE
            content = self._page(address - within)
            assert content is not None
            parts.append(bytes(content[within : within + size]))
            address, size = address + len(parts[-1]), size - len(parts[-1])
        return b"".join(parts)

    def _write(self, address: int, data: bytes) -> None:
        while data:
            part = data[: PAGE_SIZE - address % PAGE_SIZE]
            self._store(address, part)
            address, data = address + len(part), data[len(part) :]

    def _fault(self, address: int, need: int, *, now: bool = True) -> tuple[int, int] | None:
        """Signal and si_code of an access to a byte; None if it may be."""
        region = self._region(address)
        if region is None:
            return SIGSEGV, SEGV_MAPERR
        rights = region.prot | PROT_READ if region.prot else 0  # as on x86-64
        if not rights & need:
            return SIGSEGV, SEGV_ACCERR
        return (SIGBUS, BUS_ADRERR) if self._page(address & -PAGE_SIZE, now=now) is None else None

    # -- accesses of a CPU ------------------------------------------------------------------------------------

    def fetch(self, address: int, size: int) -> bytes:
        self._may(address, 1, PROT_EXEC)
        return self._read(address, size).ljust(size, b"\0")

    def load(self, address: int) -> int:
        self._may(address, 8, PROT_READ)
        return int.from_bytes(self._read(address, 8), "little")

    def store(self, address: int, value: int) -> None:
        self._may(address, 8, PROT_WRITE)
        self._write(address, value.to_bytes(8, "little"))

    def _may(self, address: int, size: int, need: int) -> None:
        if address >> 47 and address >> 47 != 0x1FFFF:  # no address at all
            raise Trap(SIGSEGV, SI_KERNEL, 0)
        last = address + size - 1 & -PAGE_SIZE  # the page that its last byte is in
        for place in (address, last) if last > address else (address,):
            fault = self._fault(place, need, now=False)
            if fault is not None:
                self.faults += 1
                raise Trap(*fault, place)


class Content:
    """The bytes of shared buffers' handles."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.users = 0
        self.spaces: WeakSet[Space] = WeakSet()


class Buffer:
    """SharedBuffer of the contract."""

    def __init__(self, content: Content) -> None:
        self.content = content
        content.users += 1

    @property
    def users(self) -> int:
        return self.content.users

    def key(self) -> tuple[int, int]:
        return 1, id(self.content)

    def share(self) -> Buffer:
        return Buffer(self.content)

    def size(self) -> int:
        return len(self.content.data)

    def read_at(self, size: int, offset: int) -> bytes:
        return bytes(self.content.data[offset : offset + size])

    read_now = read_at

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        content = self.content.data
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, size: int) -> None:
        content = self.content.data
        if size > _LARGEST:
            raise KernelError(E.EFBIG)
        del content[size:]
        content.extend(bytes(size - len(content)))
        for space in self.content.spaces:
            space.cut(self.content, size)

    def seal(self) -> None:
        if self.users > 1:
            raise KernelError(E.EBUSY)

    def close(self) -> None:
        self.content.users -= 1


# -- threads ----------------------------------------------------------------------------------------------------------


class Context:
    """MachineContext of the contract; it takes effect when the thread goes on."""

    def __init__(self, thread: Thread) -> None:
        self._thread = thread
        self.gregs = [*thread.gregs, 0x2B << 48 | 0x33, *thread.trap]
        self._xmm0 = thread.xmm0

    def fpstate(self) -> bytes:
        image = bytearray(512)
        image[0:2], image[24:28] = (0x37F).to_bytes(2, "little"), (0x1F80).to_bytes(4, "little")
        image[_XMM0 : _XMM0 + 8] = self._thread.xmm0.to_bytes(8, "little")
        return bytes(image)

    def set_fpstate(self, address: int) -> None:
        image = self._thread.space.read(address, 512) if address else bytes(512)
        self._xmm0 = int.from_bytes(image[_XMM0 : _XMM0 + 8], "little")

    def commit(self) -> None:
        self._thread.gregs = [value & _MASK for value in self.gregs[:18]]
        self._thread.xmm0 = self._xmm0


class Thread(ManagedThread):
    """A guest thread. ``state``: empty, ready (in the queue), parked, held, dead."""

    def __init__(self, platform: MinimalPlatform, process: set[Thread], space: Space) -> None:
        self.platform = platform
        self.process = process
        self._space = space
        self.task: Any = None
        self.blocked = 0
        self.fs_base = self.gs_base = 0
        self.gregs = [0] * 18
        self.gregs[EFLAGS] = 0x202
        self.trap = [0, 0, 0, 0]  # err, trapno, oldmask, cr2
        self.xmm0 = 0
        self.state = "empty"
        self.call = 0  # the number of the call that it is in
        self.kicked = False
        self.held: Context | None = None
        self.fresh = False  # cloned, and the kernel has not been told yet
        self.vforked = 0
        self.used_ns = 0
        process.add(self)

    @property
    def space(self) -> Space:
        return self._space

    @property
    def memory(self) -> Space:
        return self._space

    def ready(self) -> None:
        if self.state != "dead":
            self.state = "ready"
            self.platform.queue.append(self)

    def complete(self, result: int) -> None:
        if self.state == "parked":
            self.gregs[RAX] = result & _MASK
            self.ready()

    def wait_for(self, queue: Any) -> None:
        """A disk has to read a page; the instruction is executed again then."""

        def arrived() -> None:
            queue.unwatch(self)
            self.ready()

        self.state = "parked"
        queue.watch(self, arrived)

    def kick(self) -> None:
        self.kicked = True
        if self.state == "held":
            self.ready()

    def clone(self, child: Any, flags: int) -> int:
        space = self._space if flags & CLONE_VM else self._space.fork()
        thread = Thread(self.platform, self.process if flags & CLONE_THREAD else set(), space)
        thread.gregs = list(self.gregs)
        thread.gregs[RAX] = 0
        thread.xmm0, thread.fs_base, thread.gs_base = self.xmm0, self.fs_base, self.gs_base
        if self.call == _NR_CLONE:
            thread.gregs[RSP] = self.gregs[RSI] or self.gregs[RSP]
            if flags & CLONE_SETTLS:
                thread.fs_base = self.gregs[R8]
        thread.task, thread.blocked, thread.fresh = child, child.blocked, True
        child.thread, child.memory = thread, space
        thread.ready()
        if flags & CLONE_VFORK:
            self.vforked = child.tid
        return int(child.tid)

    def exit(self) -> None:
        if self.call == _NR_EXIT_GROUP:
            self.kill()
        else:
            self.die()

    def kill(self) -> None:
        if self.state == "empty" and self.task is None:
            self._space.drop()
        for thread in tuple(self.process):
            thread.die()

    def die(self) -> None:
        self.state = "dead"
        self.process.discard(self)

    def load(self, image: Any) -> None:
        self.gregs[RIP], self.gregs[RSP] = image.entry, image.stack_pointer
        self.ready()

    def stack_pointer(self) -> int:
        return self.gregs[RSP]

    def cpu_time(self, *, alone: bool = False) -> int:
        return self.used_ns if alone else sum(thread.used_ns for thread in self.process)

    def usage(self, *, alone: bool = False) -> Usage:
        return Usage(user=self.cpu_time(alone=alone), minor_faults=self._space.faults)


class MinimalPlatform(HostedPlatform):
    """Platform of the contract."""

    name = "minimal"
    delegates_memory = False
    reserved = ()

    def __init__(self) -> None:
        self.queue: deque[Thread] = deque()
        self._selector = selectors.DefaultSelector()

    def attach(self, events: Any) -> None:
        self.events = events

    def start(self) -> None:
        """Everything is there already."""

    def poll(self, deadline: int | None) -> None:
        wait = 86400.0 if deadline is None else (deadline - time.monotonic_ns()) / 1e9
        for key, _ in self._selector.select(0 if self.queue else max(0.0, wait))[:1]:
            key.data(key.events)
            return
        if self.queue:
            thread = self.queue.popleft()
            if thread.state == "ready":
                self._turn(thread)

    def new_process(self, ready: Callable[[Any], None]) -> None:
        ready(Thread(self, set(), Space()))

    def bind(self, thread: Any, task: Any) -> None:
        thread.task = task

    def shared_buffer(self, name: str) -> Buffer:
        return Buffer(Content())

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.unwatch(fd)
        wanted = (selectors.EVENT_READ if events & 1 else 0) | (selectors.EVENT_WRITE if events & 4 else 0)

        def once(ready: int) -> None:
            if events >> 30:
                self.unwatch(fd)
            callback(ready & 1 | (ready & 2) << 1)

        self._selector.register(fd, wanted, once)

    def unwatch(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def descriptors(self) -> set[int]:
        fileno = getattr(self._selector, "fileno", None)
        return {fileno()} if fileno else set()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def realtime_ns(self) -> int:
        return time.time_ns()

    def random(self, size: int) -> bytes:
        return os.urandom(size)

    def auxv(self) -> dict[int, int]:
        return {}

    def cpu_count(self) -> int:
        return 1

    def close(self) -> None:
        self.queue.clear()
        self._selector.close()

    # -- a turn -----------------------------------------------------------------------------------------------

    def _turn(self, thread: Thread) -> None:
        began = time.thread_time_ns()
        thread.state = "running"
        if thread.fresh:
            thread.fresh = False
            self.events.started(thread.task)
        if thread.state == "running" and (not thread.kicked or self._safe_point(thread)):
            self._run(thread)
        thread.used_ns += time.thread_time_ns() - began
        if thread.state == "running":
            thread.ready()

    def _run(self, thread: Thread) -> None:
        for _ in range(_TURN):
            try:
                called = cpu.step(thread, thread.space)
            except Trap as trap:
                self._fault(thread, trap)
                return
            except WouldBlock:
                thread.wait_for(thread.space.waits_for.ready)
                return
            if called:
                self._call(thread)
                return

    def _call(self, thread: Thread) -> None:
        gregs, task = thread.gregs, thread.task
        thread.call = number = gregs[RAX] & 0xFFFFFFFF
        if number == _NR_SIGRETURN:
            context = Context(thread)
            self._settle(thread, context, self.events.sigreturn(task, context))
            return
        args = gregs[RDI], gregs[RSI], gregs[RDX], gregs[R10], gregs[R8], gregs[R9]
        result = self.events.syscall(task, number, args)
        if thread.vforked:
            child, thread.vforked = thread.vforked, 0
            result = self.events.vfork_wait(task, child)
        if thread.state != "running":
            return
        if result is None:
            thread.state = "parked"
        else:
            gregs[RAX] = result & _MASK

    def _safe_point(self, thread: Thread) -> bool:
        context, thread.held = thread.held or Context(thread), None
        thread.kicked = False
        return self._settle(thread, context, self.events.safe_point(thread.task, context))

    def _fault(self, thread: Thread, trap: Trap) -> None:
        info = bytearray(SIGINFO_SIZE)
        info[0:4], info[8:12] = trap.signo.to_bytes(4, "little"), trap.code.to_bytes(4, "little")
        info[16:24] = trap.address.to_bytes(8, "little")
        context = Context(thread)
        self._settle(thread, context, self.events.fault(thread.task, context, trap.signo, bytes(info)))

    def _settle(self, thread: Thread, context: Context, goes_on: bool) -> bool:
        if thread.state == "dead":
            return False
        if goes_on:
            context.commit()
            return True
        thread.state, thread.held = "held", context
        if thread.kicked:
            thread.ready()
        return False
