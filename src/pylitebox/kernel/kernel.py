"""The kernel: one object that holds the tables of processes, the clocks and the scheduler of one sandbox.

It is composed by the supervisor with a platform (South) and a personality (North), and lives in one thread.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pylitebox.abi import errno as E
from pylitebox.abi.stat import makedev
from pylitebox.kernel.devices import Devices
from pylitebox.kernel.fs.content import Budget
from pylitebox.kernel.fs.mapped import MappedFiles
from pylitebox.kernel.fs.shared import SharedContents
from pylitebox.kernel.futex import Futexes
from pylitebox.kernel.memory.sources import Sources
from pylitebox.kernel.net.unix import UnixState
from pylitebox.kernel.timers import Timers
from pylitebox.kernel.wait import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.fs.hostfs import HostInode
    from pylitebox.kernel.fs.nameless import NamelessFs
    from pylitebox.kernel.fs.namespace import Namespace
    from pylitebox.kernel.fs.tmpfs import TmpFs
    from pylitebox.kernel.ipc import Ipc
    from pylitebox.kernel.locks import Locks
    from pylitebox.kernel.memory.space import Space
    from pylitebox.kernel.platform import AddressSpace, Platform
    from pylitebox.kernel.task import Process, Task
    from pylitebox.kernel.tty.pty import DevPts


class Limits:
    """Bounds of one sandbox. Each is counted in the unit it names."""

    def __init__(self) -> None:
        self.processes = 4096  # live processes and zombies
        self.threads = 8192  # live threads of all processes
        self.memory_file_bytes = 1 << 30  # data of all in-memory files, attributes and links' targets included
        self.memory_file_names = 1 << 18  # names in all in-memory file systems: about a kilobyte of ours each
        self.descriptors = 1 << 17  # of all processes: at most two or three kilobytes of ours each
        self.pipe_pages = 1 << 14  # of all pipes; beyond it new ones are small, at twice as many there are none
        self.socket_bytes = 64 << 20  # in the queues of all sockets
        self.epoll_entries = 1 << 16  # of all epoll sets
        self.areas = 1 << 18  # of all address spaces, where the kernel manages memory: half a kilobyte of ours each
        self.committed_bytes = 1 << 36  # private writable and shared anonymous memory of all, touched or not
        self.mapped_sources = 1 << 12  # distinct files and shared buffers that are mapped
        self.record_locks = 1 << 16  # of all files
        self.ipc_bytes = 64 << 20  # in messages of both kinds of queues, semaphores and their undo values
        self.posix_timers = 1 << 15  # of all processes
        self.queued_signals = 1 << 16  # of all users: about a quarter of a kilobyte of ours each
        self.inotify_watches = 1 << 16  # of all inotify instances: about half a kilobyte of ours each
        self.inotify_bytes = 32 << 20  # of events that nobody has read yet
        self.terminals = 1024  # pseudo-terminals: at most 50 kilobytes of ours each
        self.listing_bytes = 128 << 20  # of directory listings and /proc texts that open files keep


class Counters:
    """What happened, for --summary and tests."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}
        self.unimplemented: dict[int, int] = {}


class Kernel:
    """One library operating system. ``platform`` is its South; its North is attached to the platform."""

    def __init__(self, platform: Platform, *, hostname: str = "pylitebox", limits: Limits | None = None) -> None:
        self.platform = platform
        self.hostname = hostname.encode()
        self.domainname = b"(none)"
        self.limits = limits or Limits()
        self.counters = Counters()
        self.timers = Timers()
        self.scheduler = Scheduler(self.timers, self.finish)
        self.processes: dict[int, Process] = {}  # by pid, zombies included
        self.tasks: dict[int, Task] = {}  # by tid
        self.stopped: set[Process] = set()  # few or none, while processes end by the thousand
        self.namespace: Namespace | None = None  # the mount tree of new processes
        self.devices = Devices(self)
        self.unix = UnixState(self.limits.socket_bytes)
        self._ipc: Ipc | None = None
        self._terminals: DevPts | None = None
        self.memfds: TmpFs | None = None  # where memfd_create(2) makes files
        self.nameless: NamelessFs | None = None  # where pipes and sockets are, if anybody asks
        self.internal_errors = 0  # exceptions that were no KernelError; tests assert 0
        self.mapped_files = MappedFiles()
        self.shared_contents = SharedContents()
        self.idle_files: OrderedDict[HostInode, None] = OrderedDict()  # host files kept open although nobody has them
        self.file_memory = Budget(self.limits.memory_file_bytes)  # of all in-memory files
        self.file_names = Budget(self.limits.memory_file_names)
        self.descriptors = Budget(self.limits.descriptors, errno=E.ENFILE)
        self.pipe_pages = Budget(self.limits.pipe_pages)
        self.epoll_entries = Budget(self.limits.epoll_entries)
        self.record_locks = Budget(self.limits.record_locks, errno=E.ENOLCK)
        self.posix_timers = Budget(self.limits.posix_timers, errno=E.EAGAIN)
        self.inotify_watches = Budget(self.limits.inotify_watches)
        self.inotify_bytes = Budget(self.limits.inotify_bytes)
        self.inotify_instances: dict[int, int] = {}  # by user
        self.locks: WeakValueDictionary[int, Locks] = WeakValueDictionary()  # of all inodes, for /proc/locks
        #: How an address space is managed; None where the platform delegates memory. What follows is for managed ones.
        self.new_space: Callable[[Kernel, AddressSpace], Space] | None = None
        self.futexes = Futexes()
        self.areas = Budget(self.limits.areas, errno=E.ENOMEM)
        self.commit = Budget(self.limits.committed_bytes, errno=E.ENOMEM)
        self.sources = Sources(Budget(self.limits.mapped_sources, errno=E.ENOMEM), self.commit)
        self.listings = Budget(self.limits.listing_bytes)
        #: 24 random bytes for the places of programs, interpreters and mappings, the same in each address space, on
        #: platforms that translate code and keep it by address; empty: each address space's own.
        self.code_places = b""
        self.boot_ns = platform.monotonic_ns()
        self.boot_id = platform.random(16)
        self.current: Task | None = None  # whose call is being answered, or was last (signalfd(2), /proc's state)
        self.queued_signals: dict[int, int] = {}  # by the user they count for (signal_state.py)
        self.all_queued_signals = 0
        self._last_pid = 1
        self._last_minor = 30  # of file systems; below are the fixed ones of nameless files
        self.init: Process | None = None  # pid 1, the reaper: made by process.boot()

    @property
    def ipc(self) -> Ipc:
        """System V IPC and POSIX message queues, from their first use on."""
        if self._ipc is None:
            from pylitebox.kernel.ipc import Ipc

            self._ipc = Ipc(self)
        return self._ipc

    @property
    def terminals(self) -> DevPts:
        """The pseudo-terminals, which are the file system of their names."""
        if self._terminals is None:
            from pylitebox.kernel.tty.pty import DevPts

            self._terminals = DevPts(self)
        return self._terminals

    # -- ids --------------------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """A thread or process id that is not in use (as pid_max 4194304 allows); ids count upwards and wrap."""
        while True:
            self._last_pid = self._last_pid + 1 if self._last_pid < 4194303 else 300
            if self._last_pid not in self.tasks and self._last_pid not in self.processes:
                return self._last_pid

    def new_dev(self) -> int:
        """The device number of a new file system."""
        self._last_minor += 1
        return makedev(0, self._last_minor)

    # -- results ----------------------------------------------------------------------------------------------

    def finish(self, task: Task, result: int) -> None:
        """Finish a call that had parked. A pending signal's kick goes out first, so that its handler runs before
        the instruction behind the call."""
        thread = task.thread
        if thread is None:
            return
        if -516 <= result <= -512:
            task.interrupted = -result
            result = -4  # EINTR; the safe point restarts the call or lets this stand
        if task.signal_pending or task.process.state == "stopped":
            self.kick(task)
        thread.complete(result)

    def kick(self, task: Task) -> None:
        """Bring a running task to its safe point, once."""
        if task.thread is not None and not task.kicked:
            task.kicked = True
            task.thread.kick()

    # -- time -------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """The monotonic clock, ns."""
        return self.platform.monotonic_ns()

    def wall(self) -> int:
        """The real-time clock, ns since the epoch."""
        return self.platform.realtime_ns()

    # -- the loop ---------------------------------------------------------------------------------------------

    def step(self, deadline: int | None = None) -> None:
        """Do what is ready, then wait for the platform until something happens or ``deadline`` (monotonic ns)."""
        scheduler, timers = self.scheduler, self.timers
        if scheduler.ready:
            scheduler.run()
        if timers.heap:
            timer = timers.next_deadline()
            if timer is not None and (deadline is None or timer < deadline):
                deadline = timer
        if scheduler.ready:
            deadline = 0
        self.platform.poll(deadline)
        if timers.heap:
            timers.run(self.now())
        if scheduler.ready:
            scheduler.run()
