"""The South contract: what the kernel asks of a host platform, and what it is told by it.

A platform runs guest threads and owns their memory and machine state; it knows no files, no signals, no processes of
the guest. The kernel owns those and knows no host. One event loop drives both: :meth:`Platform.poll` waits, and
delivers what happened through :class:`GuestEvents`. Nothing here may block, except ``poll`` up to its deadline.

Rules
- Numbers from a guest (addresses, sizes) are passed as they came, unsigned 64 bit. A platform answers an address that
  is not there with ``KernelError(EFAULT)`` whatever its value.
- A task's ``thread`` is None until the platform has started it, and after it ended.
- Signals, ids, process states and descriptors have one owner on every platform: the kernel.
- A platform never calls back into the kernel except from ``poll`` (and from ``new_process``/``load`` when it can
  answer at once).
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from pylitebox.kernel.image import Image
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import WaitQueue


class Memory(Protocol):
    """The memory of one guest address space."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes; EFAULT if any is not readable. The caller bounds ``size``."""
        ...

    def read_some(self, address: int, size: int) -> bytes:
        """1 to ``size`` bytes from ``address`` up to the first unreadable one; EFAULT if there is none."""
        ...

    def read_cstring(self, address: int, limit: int) -> bytes:
        """The bytes before the first NUL; EFAULT; ENAMETOOLONG if there is none within ``limit`` bytes."""
        ...

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` where the guest may write; EFAULT if any byte is not writable by it."""
        ...


class AddressSpace(Protocol):
    """The pages of one guest address space, on a platform whose memory the kernel manages (``delegates_memory`` False).

    The kernel keeps the areas (what is mapped where, and every rule of mmap(2); kernel/memory/); a platform keeps pages
    for them, and makes them when they are touched. Ranges are multiples of the page size within the user's half; what
    the kernel asks for is consistent: a range to map holds nothing, a range to protect, discard or move is mapped
    throughout, and what it is moved to holds nothing. Where a platform runs out of memory, KernelError(ENOMEM), with
    nothing changed. Every change is seen by the guest's next instruction, and by every access through ``memory``.

    An access that the pages do not allow is a fault (:meth:`GuestEvents.fault`): SIGSEGV with SEGV_MAPERR where nothing
    is mapped and SEGV_ACCERR where the protection forbids it, SIGBUS with BUS_ADRERR behind the last page of a source;
    si_addr is the address of the access. On x86-64 what may be written or executed may be read, too. A page that
    cannot be made when it is touched, for lack of memory, ends the process (:meth:`GuestEvents.lost`).

    Sources: the kernel keeps a source open for as long as it is mapped anywhere, so a platform needs no handle of its
    own, and may keep what it knows of a content by :meth:`MapSource.key`: until the last mapping of a key is gone it
    means that content, whose mappings have at most two handles, one that is written through and one that is not. All
    mappings of one content show the same bytes, as do its ``read_at`` and ``write_at``. Only a page that was written
    to through a private mapping is that address space's own, until the content is cut off before it: ``truncate``
    takes what lies behind the new end from all. Where a source must wait for its disk (WouldBlock), the platform
    waits: it parks the thread whose access it was, or, for an access of the kernel's, reads on at once.
    """

    @property
    def memory(self) -> Memory:
        """Access as the guest has it: what the protection forbids is EFAULT, and so is what is not mapped."""
        ...

    def map(self, start: int, size: int, prot: int, source: MapSource | None, offset: int, *, shared: bool) -> None:
        """``source`` None: zeros, and ``shared`` is False (shared anonymous memory is a SharedBuffer's). Else the bytes
        of the source from ``offset`` on. ``shared``: stores reach the source; else they stay in this address space."""
        ...

    def unmap(self, start: int, size: int) -> None:
        """Holes are allowed."""
        ...

    def protect(self, start: int, size: int, prot: int) -> None: ...

    def move(self, start: int, size: int, new_start: int) -> None:
        """The pages and what stands behind them are found at ``new_start``, where nothing was, and no longer here."""
        ...

    def discard(self, start: int, size: int) -> None:
        """Forget private changes: zeros, or the source's bytes, when touched again (MADV_DONTNEED). Nothing of a shared
        mapping is lost."""
        ...

    def sync(self, start: int, size: int) -> None:
        """Stores to shared mappings have reached their sources when it returns (msync(2)); for platforms that keep
        copies of a host file's pages. What is unmapped or dropped reaches its source without being asked."""
        ...

    def fork(self) -> AddressSpace:
        """A copy; private pages are copied when either side writes."""
        ...

    def resident(self, start: int, size: int) -> bytes:
        """One byte for each page: 1 if it is there already (mincore(2))."""
        ...

    def drop(self) -> None:
        """Nobody uses it any more: no thread runs in it, and none will."""
        ...


class _NoMemory:
    """The memory of a task or thread that has none: every access is EFAULT."""

    def read(self, address: int, size: int) -> bytes:
        raise KernelError(E.EFAULT)

    def read_some(self, address: int, size: int) -> bytes:
        raise KernelError(E.EFAULT)

    def read_cstring(self, address: int, limit: int) -> bytes:
        raise KernelError(E.EFAULT)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        raise KernelError(E.EFAULT)


NO_MEMORY = _NoMemory()


class MachineContext(Protocol):
    """The registers of a thread that is stopped at a safe point; changes take effect when it goes on.

    ``gregs`` are the 23 words of the x86-64 ``struct sigcontext``: r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp,
    rip, eflags, cs|gs|fs|ss, err, trapno, oldmask, cr2.
    """

    gregs: list[int]

    def fpstate(self) -> bytes:
        """The extended state as a signal frame holds it (FXSAVE/XSAVE image with software-reserved bytes)."""
        ...

    def set_fpstate(self, address: int) -> None:
        """Load the extended state from a signal frame in guest memory; 0 is a clean one."""
        ...


class Usage(NamedTuple):
    """What a thread or a process has used. Times in ns of CPU, sizes in bytes; ``resident`` is the most there was at
    a time that was looked at."""

    user: int = 0
    system: int = 0
    minor_faults: int = 0
    major_faults: int = 0
    resident: int = 0
    switches: int = 0  # voluntary

    @property
    def total(self) -> int:
        return self.user + self.system


NOTHING = Usage()


class Ids(NamedTuple):
    """What gettid(2), getpid(2), getppid(2), getuid(2), geteuid(2), getgid(2) and getegid(2) give in a thread."""

    tid: int
    pid: int
    ppid: int
    uid: int
    euid: int
    gid: int
    egid: int


class GuestThread(Protocol):
    """One guest thread, as the platform holds it.

    On a platform whose memory the kernel manages it is a :class:`ManagedThread`, and ``change_memory``, ``areas`` and
    ``program_break`` are not asked (0)."""

    #: The signals that the thread has blocked. A platform may let the guest change them without telling (as
    #: rt_sigprocmask(2) would), as long as the process pays no attention.
    blocked: int

    @property
    def memory(self) -> Memory: ...

    def attend(self, *, waits: bool) -> None:
        """Whether signals wait for the process: from now on (until False) each change of the mask of one of its
        threads is followed by :meth:`GuestEvents.safe_point`, before its next instruction."""
        ...

    def program_break(self) -> int:
        """Where the guest has moved the break (brk(2)) without telling; 0 where the kernel answers that call."""
        ...

    def complete(self, result: int) -> None:
        """Finish the system call that this thread is parked in."""
        ...

    def kick(self) -> None:
        """Bring the thread to a safe point soon: :meth:`GuestEvents.safe_point` follows."""
        ...

    def clone(self, child: Task, flags: int) -> int | None:
        """Start ``child`` as a copy of this thread (clone(2) flags); the result for the parent, or None if the
        platform finishes the call itself. KernelError(EAGAIN) when the host can't."""
        ...

    def exit(self) -> None:
        """End this thread; it is inside its own exit(2) or exit_group(2), which needs no result."""
        ...

    def load(self, image: Image) -> None:
        """Fill this thread's empty address space with ``image`` and enter it (only right after new_process). Where the
        kernel manages memory it has filled the address space already, and ``image.sources`` are its own: what is left
        is to enter, at ``entry`` with ``stack_pointer``, all other registers 0 and a clean extended state."""
        ...

    def change_memory(self, change: Map | Unmap | Limit, done: Callable[[int], None] | None = None) -> int | None:
        """Change this thread's address space, as the call wants that it is in (mmap(2) of a file, shmat(2), shmdt(2),
        prlimit64(2)).

        Without ``done``, what the change gives (an address, 0 or a negative errno) is the call's result: returned here,
        or None if the platform finishes the call. With it, ``done`` is told, now or later, and the call goes on: the
        kernel finishes it, perhaps after further changes. What is told is the guest's word on the native platform."""
        ...

    def ids_changed(self, ids: Ids) -> None:
        """The thread's ids are these from now on. A platform may answer the guest's questions from what it was told,
        if it gives the child of a clone its own: its tid; unless it is a thread, the same pid, and its parent's pid
        for ppid if CLONE_PARENT is not there."""
        ...

    def recall(self) -> None:
        """The descriptor that the last ``Map.lend`` named is another file's from now on, or nobody's."""
        ...

    def action_changed(self, signo: int, action: bytes) -> None:
        """The process's disposition of ``signo`` is now ``action`` (a packed struct kernel_sigaction). A platform
        may answer the guest's queries from what it was told; a fresh process starts with all zero."""
        ...

    def kill(self) -> None:
        """End the whole guest process that this thread belongs to, at once and unconditionally."""
        ...

    def stack_pointer(self) -> int:
        """The stack pointer in the call that the thread is in, where the platform knows it (sigaltstack(2)); else 0."""
        ...

    def cpu_time(self, *, alone: bool = False) -> int:
        """Nanoseconds of CPU that the guest process of this thread has used since it was made; ``alone``: this thread
        only."""
        ...

    def usage(self, *, alone: bool = False) -> Usage:
        """As `cpu_time`, and what else is measured; zero for what isn't."""
        ...

    def asleep(self) -> bool:
        """Whether the thread waits in a call that the platform runs itself."""
        ...

    def areas(self, *, detailed: bool = False) -> list[Area]:
        """What is mapped in this thread's address space, lowest first (for /proc/PID/maps); ``detailed``: with what
        /proc/PID/smaps says of each, unless there are so many that this would take long."""
        ...


class ManagedThread(GuestThread, Protocol):
    """One guest thread where the kernel manages memory.

    ``clone`` starts the child at once: when it returns, the child's task has its ``thread`` and ``memory``, and no
    instruction of the child has run. The thread's address space outlives it: the kernel drops it with its last user,
    except that of a thread from ``new_process`` that is killed before it was bound to a task.
    """

    #: The bases of the segments FS and GS (arch_prctl(2)); a new program's are 0, a clone's its parent's unless
    #: CLONE_SETTLS says another.
    fs_base: int
    gs_base: int

    @property
    def space(self) -> AddressSpace:
        """The one that it runs in: empty after ``new_process``; after ``clone`` its parent's, or a fork of it."""
        ...


class Map:
    """Map ``source`` as mmap(2) does; ``write`` says whether the mapping may reach the file.

    ``lend``: the guest's descriptor of a source that never changes. The platform may map it privately once more when
    the guest asks for that, without asking us, until :meth:`GuestThread.recall` or the thread's next clone."""

    __slots__ = ("address", "flags", "lend", "offset", "prot", "size", "source", "write")

    def __init__(
        self,
        source: MapSource,
        address: int,
        size: int,
        prot: int,
        flags: int,
        offset: int = 0,
        *,
        write: bool,
        lend: int | None = None,
    ) -> None:
        self.source = source
        self.address = address
        self.size = size
        self.prot = prot
        self.flags = flags
        self.offset = offset
        self.write = write
        self.lend = lend


class Unmap:
    """Unmap whole pages as munmap(2) does."""

    __slots__ = ("address", "size")

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size


class Limit:
    """Bound the process's memory: RLIMIT_AS or RLIMIT_DATA, ``size`` in bytes (RLIM_INFINITY: as far as the host lets
    it), and the program break, which may go as far as ``heap``. Only for platforms that delegate memory."""

    __slots__ = ("heap", "resource", "size")

    def __init__(self, resource: int, size: int, heap: int) -> None:
        self.resource = resource
        self.size = size
        self.heap = heap


class Area:
    """One mapped range; ``source`` identifies a mapped file by (device, inode) of its MapSource, else None."""

    __slots__ = ("details", "end", "name", "offset", "prot", "shared", "source", "start")

    def __init__(
        self, start: int, end: int, prot: int, *, shared: bool, offset: int, source: tuple[int, int] | None, name: str
    ) -> None:
        self.start = start
        self.end = end
        self.prot = prot
        self.shared = shared
        self.offset = offset
        self.source = source
        self.name = name
        self.details: list[bytes] = []  # lines of smaps


class MapSource(Protocol):
    """File content that can be mapped into a guest: a host file, or a shared buffer."""

    def key(self) -> tuple[int, int]:
        """(device, inode) as :class:`Area` reports it."""
        ...

    def share(self) -> MapSource:
        """One more handle on the same content, of the same kind; each handle is closed on its own."""
        ...

    def close(self) -> None: ...


class HostStat(Protocol):
    """The host's facts about a file, as os.stat_result names them; ``st_mode`` in Linux's encoding."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_nlink: int
    st_size: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int


class HostFile(MapSource, Protocol):
    """An open host file."""

    def stat(self) -> HostStat: ...

    def read_at(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``. Raises WouldBlock while the host must wait for its disk; ``ready``
        wakes when the data has come, and the same call then succeeds."""
        ...

    @property
    def ready(self) -> WaitQueue: ...

    def write_at(self, data: bytes | memoryview, offset: int) -> int: ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None: ...


class HostDirectory(Protocol):
    """One directory of a host tree. Every name is a single component; no call follows a symbolic link, leaves the
    mounted tree, or crosses onto another file system. Errors are KernelError with Linux's numbers."""

    def stat(self, name: bytes) -> HostStat: ...

    def stat_self(self) -> HostStat: ...

    def readlink(self, name: bytes) -> bytes: ...

    def listdir(self) -> list[tuple[bytes, int, int]]:
        """(name, inode, d_type) of each entry, without . and .. ."""
        ...

    def directory(self, name: bytes) -> HostDirectory: ...

    def open(self, name: bytes, *, write: bool = False) -> HostFile:
        """Open a regular file (anything else is EACCES)."""
        ...

    # The rest is for mounts the user made writable (HOST:GUEST:rw).
    def create(self, name: bytes, mode: int) -> HostFile: ...

    def mkdir(self, name: bytes, mode: int) -> None: ...

    def symlink(self, target: bytes, name: bytes) -> None: ...

    def link(self, name: bytes, directory: HostDirectory, new_name: bytes) -> None: ...

    def unlink(self, name: bytes) -> None: ...

    def rmdir(self, name: bytes) -> None: ...

    def rename(self, name: bytes, directory: HostDirectory, new_name: bytes, flags: int) -> None: ...

    def chmod(self, name: bytes, mode: int) -> None: ...

    def utime(self, name: bytes, atime_ns: int, mtime_ns: int) -> None: ...

    def close(self) -> None: ...


class HostStream(Protocol):
    """A console stream: one end of what the user gave as stdin, stdout or stderr."""

    #: What fstat(2) should say it is: S_IFIFO, S_IFCHR (a terminal or /dev/null) or S_IFREG.
    kind: int
    #: Terminal settings and size, taken when the stream was attached; None if it is no terminal.
    termios: bytes | None
    winsize: bytes | None
    #: Woken when readiness may have changed, once `poll` had been asked.
    queue: WaitQueue

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, b"" at the end; WouldBlock."""
        ...

    def write(self, data: bytes | memoryview) -> int:
        """How many bytes were taken (at least 1); WouldBlock; KernelError(EPIPE)."""
        ...

    def poll(self) -> int:
        """POLLIN/POLLOUT/POLLHUP/POLLERR now; also arms ``queue``."""
        ...

    def close(self) -> None: ...


class SharedBuffer(MapSource, Protocol):
    """Memory that can be both read and written by the kernel and mapped by guests (a memfd on Linux)."""

    @property
    def users(self) -> int:
        """How many handles there are of it (:meth:`share` makes one more); mappings are not counted."""
        ...

    def size(self) -> int: ...

    def read_at(self, size: int, offset: int) -> bytes: ...

    def write_at(self, data: bytes | memoryview, offset: int) -> int: ...

    def truncate(self, size: int) -> None: ...

    def seal(self) -> None:
        """From now on nobody writes to it, whatever they hold of it; EBUSY while it is mapped so that they may."""
        ...


class GuestEvents(Protocol):
    """What a platform tells the North (implemented by ``north/linux``). None of these raises."""

    #: What the kernel will do when ``poll`` returns; as long as it is empty, a platform may serve more calls before.
    @property
    def work(self) -> Sized: ...

    def syscall(self, task: Task, number: int, args: tuple[int, int, int, int, int, int]) -> int | None:
        """A guest thread made a system call; its result, or None if it is finished later by the kernel
        (``GuestThread.complete``) or was finished by the platform itself."""
        ...

    def safe_point(self, task: Task, context: MachineContext) -> bool:
        """The thread stands at a safe point. True: it goes on with ``context``. False: it is held until
        :meth:`GuestThread.kick` is called again, which brings a new safe point."""
        ...

    def fault(self, task: Task, context: MachineContext, signo: int, siginfo: bytes) -> bool:
        """An instruction of the thread raised a fault; as ``safe_point`` for the rest."""
        ...

    def sigreturn(self, task: Task, context: MachineContext) -> bool:
        """The thread called rt_sigreturn(2); ``context`` holds its registers at the call."""
        ...

    def started(self, task: Task) -> None:
        """A cloned thread runs: ``task.thread`` is set; called before its first guest instruction."""
        ...

    def clone_failed(self, parent: Task, tid: int) -> None:
        """A clone that the kernel had granted failed in the host."""
        ...

    def vfork_wait(self, parent: Task, tid: int) -> int | None:
        """The parent of a vfork stands parked until the child has exec'd or ended; result as of `syscall`."""
        ...

    def lost(self, task: Task, error: Exception | None = None) -> None:
        """The guest process of ``task`` ended without the kernel's order (the host killed it); ``error``: it could not
        go on because of an error of ours."""
        ...


class Platform(Protocol):
    """A host platform."""

    name: str
    #: True if the host kernel owns memory areas and futexes (native); False if the kernel manages them.
    delegates_memory: bool
    #: Address ranges (start, end) that the platform needs in every guest process: no program is loaded there.
    reserved: tuple[tuple[int, int], ...]

    def attach(self, events: GuestEvents) -> None:
        """Say who is told about guests; before anything else."""
        ...

    def poll(self, deadline: int | None) -> None:
        """Wait until something happened or the monotonic clock (ns) reaches ``deadline``, and deliver it. A platform
        without guests answers EDEADLK where nothing can ever happen."""
        ...

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        """Make an empty guest process; ``ready`` gets its thread, or None if the host can't make one."""
        ...

    def bind(self, thread: GuestThread, task: Task) -> None:
        """Say which task a thread from ``new_process`` belongs to from now on."""
        ...

    def shared_buffer(self, name: str) -> SharedBuffer: ...

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever a host descriptor of the supervisor itself is readable."""
        ...

    def unwatch(self, fd: int) -> None: ...

    def monotonic_ns(self) -> int: ...

    def realtime_ns(self) -> int: ...

    def random(self, size: int) -> bytes: ...

    def auxv(self) -> dict[int, int]:
        """The auxiliary vector entries that describe the machine (AT_HWCAP, AT_SYSINFO_EHDR, ...)."""
        ...

    def cpu_count(self) -> int: ...

    def close(self) -> None:
        """End every guest process and give back all the host gave."""
        ...
