"""The South contract: what the kernel asks of a host platform, and what it is told by it.

A platform runs guest threads and owns their memory and machine state; it knows no files, no signals, no processes of
the guest. The kernel owns those and knows no host. This file is all that a platform needs to be written from;
docs/platforms.md says in which order, and tests/south/conformance shows that a platform keeps what is said here.

The loop
    One thread, the kernel's, calls everything here. :meth:`Platform.poll` waits, and delivers what happened through
    :class:`GuestEvents`; from within an event the kernel calls :class:`GuestThread`, :class:`AddressSpace` and
    :class:`Memory`, and asks :class:`Platform` for buffers and new processes. A platform may have threads of its own,
    which touch nothing that is seen here. Nothing may block, except ``poll`` up to its deadline. No event comes from
    anywhere but ``poll``: what a call of the kernel's brings about later (a thread that could not be loaded, a kick) is
    told by a later ``poll``. (Only ``lost`` may also come from ``complete``, ``load`` and ``exit``, of the thread
    that they are called on.)

A guest thread is in one of these states
    empty     from ``new_process`` to ``load``: it runs nothing
    running   its instructions are executed, at the same time as the kernel's or in turns with others
    calling   it has made a system call, and the kernel is in :meth:`GuestEvents.syscall`
    parked    that returned None: it stands in the call until :meth:`GuestThread.complete`
    stopped   it stands at a safe point, and the kernel is in ``safe_point``, ``fault`` or ``sigreturn``
    held      that returned False: it stands there until :meth:`GuestThread.kick`, which brings a new ``safe_point``
    ended     by ``exit``, ``kill`` or ``lost``: there are no more events of it, and nobody calls it but by a mistake
              of timing, which is no error (``complete``, ``kick``, ``attend``, ``action_changed`` do nothing then)

Calls
    ``syscall`` gets the number (eax: the low 32 bits, unsigned) and the arguments as the registers hold them, unsigned
    64 bits. With the result in rax the thread goes on behind the instruction; rcx and r11 are as the instruction leaves
    them or kept, all other registers are kept. A platform may answer calls itself if they are harmless whatever their
    arguments, and if it says below how the kernel learns of what they changed. fork(2) and vfork(2) may be told as the
    clone(2) that they mean. rt_sigreturn(2) is no call: it is told by :meth:`GuestEvents.sigreturn`.

Rules
- Numbers from a guest (addresses, sizes, registers) are passed as they came and may be anything. A platform answers an
  address that is not there with ``KernelError(EFAULT)`` whatever its value.
- Of a :class:`~pylitebox.kernel.task.Task` a platform reads ``tid`` and ``blocked``, and sets ``thread`` and ``memory``
  of a clone's child; nothing else. A task that has ended has no ``thread``.
- Signals, ids, process states and descriptors have one owner on every platform: the kernel.
- Nothing that a guest does may raise out of ``poll``, hang it, or end the process that it is called in. A guest
  that the platform cannot go on with is ended, and :meth:`GuestEvents.lost` is told.

What is optional
    ``Platform.delegates_memory`` says who owns memory and futexes, the host (True) or the kernel (False): all that
    follows from it is said at :class:`DelegatedThread` and :class:`ManagedThread`, one of which its threads are. The
    methods with a body here need not be written: a platform that inherits has the answer "not here". They are for
    platforms that answer some calls without the kernel (``attend``, ``program_break``, ``action_changed``, ``asleep``),
    or that measure (``stack_pointer``, ``cpu_time``, ``usage``).
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
    """The memory of one guest address space. The kernel has it from ``GuestThread.memory``, and may use it at any time
    until the address space is dropped, whatever its threads do meanwhile: they may change it, and unmap it.

    Any address and size may come (sizes are bounded by the caller). A size of 0 is b"" or nothing, at any address."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes; EFAULT if any is not readable."""
        ...

    def read_some(self, address: int, size: int) -> bytes:
        """1 to ``size`` bytes from ``address`` up to the first unreadable one; EFAULT if there is none."""
        ...

    def read_cstring(self, address: int, limit: int) -> bytes:
        """The bytes before the first NUL; ENAMETOOLONG if there is none within ``limit`` bytes; EFAULT if what cannot
        be read comes before either."""
        ...

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` where the guest may write; EFAULT if any byte is not writable by it: then a part of
        what lies before it may have been written."""
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
    takes what lies behind the new end from all. The last page of a source goes on with zeros behind its end; what is
    stored there is nobody's, and no source grows by it. Where a source must wait for its disk (WouldBlock), the
    platform waits: it parks the thread whose access it was (``HostFile.ready``), or, for an access of the kernel's,
    reads on at once (``HostFile.read_now``).
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

    def protect(self, start: int, size: int, prot: int) -> None:
        """From now on ``prot`` (PROT_*) says what the guest may; the pages stay."""
        ...

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
    """The registers of a thread that is stopped at a safe point: as they were, and as the thread shall go on.

    ``gregs`` begins with the 23 words of the x86-64 ``struct sigcontext``, unsigned 64 bits: r8-r15, rdi, rsi, rbp,
    rbx, rdx, rax, rcx, rsp, rip, eflags, cs|gs|fs|ss, err, trapno, oldmask, cr2 (what follows is the platform's own).
    rip is the next instruction, for a fault the one that raised it; behind a call rax is its result. err, trapno and
    cr2 are of the thread's last fault. Changes to the first 18 take effect when the thread goes on: at once if the
    event returns True; a context that was returned with False comes again with the next safe point, changes and all.
    Register values are the guest's choice (rt_sigreturn(2)): an rip that is no address is the thread's next fault, and
    a platform keeps to itself the flags and segments that are not the guest's to set. """

    gregs: list[int]

    def fpstate(self) -> bytes:
        """The extended state as a signal frame holds it: an FXSAVE image of 512 bytes, or an XSAVE image with its
        software-reserved bytes (and FP_XSTATE_MAGIC2 behind), whose size AT_MINSIGSTKSZ allows for."""
        ...

    def set_fpstate(self, address: int) -> None:
        """Load the extended state from a signal frame in guest memory; 0 is a clean one. The last call counts. The
        content is the guest's choice: EFAULT, now, where it cannot be read (or it is the thread's next fault), and
        what no CPU can hold is made into what one can."""
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
    """One guest thread, as the platform holds it: a :class:`ManagedThread` or a :class:`DelegatedThread`."""

    #: The signals that the thread has blocked: set by the kernel, also for a thread that has not run yet; ``clone``
    #: takes it from its child's task. A platform may let the guest change it without telling (as rt_sigprocmask(2)
    #: would), and then reads it from where the guest has it; see `attend`.
    blocked: int

    @property
    def memory(self) -> Memory:
        """That of its address space."""
        ...

    # -- calls and safe points --------------------------------------------------------------------------------

    def complete(self, result: int) -> None:
        """Finish the system call that this thread is parked in; ``result`` is a register's value or minus an errno.
        Called once for each call. If the thread has been kicked, its safe point comes before the next instruction."""
        ...

    def kick(self) -> None:
        """Bring the thread to a safe point: one :meth:`GuestEvents.safe_point` follows from ``poll``, soon, wherever
        the thread is, before its next instruction if it stands. It never follows from here. In detail:

        - running: it is interrupted, in a call that the platform runs itself, too (futex(2) on native: the call has
          EINTR, or is made again, as for a signal);
        - calling: once the call has its result (``syscall`` returns it);
        - parked: once the call is completed. The kernel kicks first, and completes then;
        - stopped: after it goes on;
        - held: at once, with the context it was held with;
        - cloned and not yet ``started``, or bound and not yet loaded: after that, before its first instruction.

        Kicks that come before their safe point are one."""
        ...

    # -- life -------------------------------------------------------------------------------------------------

    def clone(self, child: Task, flags: int) -> int | None:
        """Start ``child`` as a copy of this thread, which is calling (fork(2), vfork(2) or clone(2) with these flags,
        checked by the kernel). Stack pointer and TLS are in the call's registers: arguments 1 (0: as the parent's) and
        4 (with CLONE_SETTLS). The child's rax is 0, its extended state the parent's.

        Without CLONE_VM the child's memory is a copy; with CLONE_THREAD it ends with this thread's process. The child
        has its ``thread`` when this returns, its ``memory`` when :meth:`GuestEvents.started` is told, and runs then.
        CLONE_PARENT_SETTID, CHILD_SETTID and PIDFD are the kernel's.

        The result for the parent, or None if the platform finishes the call itself: then with CLONE_VFORK, and
        whichever way it returned, the platform asks :meth:`GuestEvents.vfork_wait` what the parent's result is.
        KernelError(EAGAIN, ENOMEM, EINVAL) when it can't be, with nothing changed; what the host refuses later is
        :meth:`GuestEvents.clone_failed`."""
        ...

    def load(self, image: Image) -> None:
        """Enter the program ``image``, once, in a thread from ``new_process`` that was bound to a task: at ``entry``
        with ``stack_pointer``, all other registers 0 and a clean extended state. Before that a platform that delegates
        memory fills the empty address space: ``mappings`` in order, ``brk_size`` bytes at ``brk``, then ``zero``, then
        ``data`` (both where the guest may write); ``limits`` hold from then on; and closes ``sources``. Where the
        kernel manages memory it has done that, and the sources are its own. What fails ends in ``lost``."""
        ...

    def exit(self) -> None:
        """End this thread, which is calling exit(2), or the whole process if that is exit_group(2). The call needs no
        result. With its last thread a process ends."""
        ...

    def kill(self) -> None:
        """End the whole guest process that this thread belongs to, at once and unconditionally, in whatever state its
        threads are: when this returns, none runs another instruction that anybody can see. Without an event. An empty
        thread that was never bound is given back this way, with its address space."""
        ...

    # -- optional: what the platform knows --------------------------------------------------------------------

    def stack_pointer(self) -> int:
        """The stack pointer in the call that the thread is in, where the platform knows it (sigaltstack(2)); else 0."""
        return 0

    def cpu_time(self, *, alone: bool = False) -> int:
        """Nanoseconds of CPU that the guest process of this thread has used since it was made; ``alone``: this thread
        only. It never goes back; 0 if it is not measured."""
        return 0

    def usage(self, *, alone: bool = False) -> Usage:
        """As `cpu_time`, and what else is measured; zero for what isn't."""
        return NOTHING

    # -- optional: for platforms that answer calls without the kernel -----------------------------------------
    # They are about signals and ids, which are the kernel's on every platform: so not of DelegatedThread.

    def attend(self, *, waits: bool) -> None:
        """Whether signals wait for the process: from now on (until False) each change of the mask of one of its
        threads is followed by :meth:`GuestEvents.safe_point`, before its next instruction. A cloned process starts as
        its parent is, one from ``new_process`` with False. Nothing to do if masks change only by calls."""

    def action_changed(self, signo: int, action: bytes) -> None:
        """The process's disposition of ``signo`` is now ``action`` (a packed struct kernel_sigaction, 32 bytes). A
        platform may answer the guest's queries from what it was told; a fresh process starts with all zero, and is
        told what differs before ``load``; a clone starts as its parent."""

    def ids_changed(self, ids: Ids) -> None:
        """The thread's ids are these from now on. A platform may answer the guest's questions from what it was told,
        if it gives the child of a clone its own: its tid; unless it is a thread, the same pid, and its parent's pid
        for ppid if CLONE_PARENT is not there."""

    def asleep(self) -> bool:
        """Whether the thread waits in a call that the platform runs itself."""
        return False


class DelegatedThread(GuestThread, Protocol):
    """One guest thread where the host manages memory (``delegates_memory``). mmap(2) of anonymous memory, munmap(2),
    mprotect(2), madvise(2), brk(2), futex(2) and the like never reach the kernel, which asks for the rest.

    A futex wait that a kick interrupts stands before its instruction at the safe point (rip at ``syscall``, rax the
    number), and is made again when the thread goes on: the kernel makes it EINTR where a handler wants that. The word
    of CLONE_CHILD_CLEARTID and set_tid_address(2) is cleared, and its waiter woken, when the thread has ended."""

    def change_memory(self, change: Map | Unmap | Limit, done: Callable[[int], None] | None = None) -> int | None:
        """Change this thread's address space, as the call wants that it is in (mmap(2) of a file, shmat(2), shmdt(2),
        prlimit64(2)).

        Without ``done``, what the change gives (an address, 0 or a negative errno) is the call's result: returned here,
        or None if the platform finishes the call. With it, ``done`` is told, now or from a later ``poll``, and the call
        goes on: the kernel finishes it, perhaps after further changes. What is told may be the guest's word, so the
        kernel believes none of it. KernelError, with nothing changed and ``done`` never told, if it can't be asked."""
        ...

    def recall(self) -> None:
        """The descriptor that the last ``Map.lend`` named is another file's from now on, or nobody's."""
        ...

    def areas(self, *, detailed: bool = False) -> list[Area]:
        """What is mapped in this thread's address space, lowest first (for /proc/PID/maps), without what lies in
        ``Platform.reserved``; ``detailed``: with what /proc/PID/smaps says of each, unless there are so many that this
        would take long. Empty for a thread that has ended."""
        ...

    def program_break(self) -> int:
        """Where the guest has moved the break (brk(2)) without telling, within ``Image.heap`` bytes from ``Image.brk``
        on; 0 where the kernel answers that call. It may be what the guest says."""
        return 0


class ManagedThread(GuestThread, Protocol):
    """One guest thread where the kernel manages memory.

    ``clone`` makes the child at once: its task has ``thread`` and ``memory`` when it returns, and it never returns
    None. The thread's address space outlives it: the kernel drops it with its last user, except that of a thread from
    ``new_process`` that is killed before it was bound to a task.
    """

    #: The bases of the segments FS and GS (arch_prctl(2)), below TASK_SIZE; a new program's are 0, a clone's its
    #: parent's unless CLONE_SETTLS says another. Only changed while the thread is calling; the guest may change them
    #: itself where its CPU has FSGSBASE.
    fs_base: int
    gs_base: int

    @property
    def space(self) -> AddressSpace:
        """The one that it runs in: empty after ``new_process``; after ``clone`` its parent's, or a fork of it."""
        ...


class Map:
    """Map ``source`` as mmap(2) does; ``write`` says whether the mapping may reach the file.

    ``lend``: the guest's descriptor of a source that never changes. The platform may map it privately once more when
    the guest asks for that, without asking us, until :meth:`DelegatedThread.recall` or the thread's next clone."""

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
    it), and the program break, which may go as far as the address ``heap``."""

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
    """File content that can be mapped into a guest: a :class:`HostFile`, or a :class:`SharedBuffer` that this platform
    made.

    A platform whose guests are processes of the host maps descriptors: of host files on Linux it gets them by
    ``descriptor(write=...)``, which south/hostfiles.py has beyond the contract, with exactly the access named."""

    def key(self) -> tuple[int, int]:
        """(device, inode) as :class:`Area` reports it: which content this is, whatever the handle."""
        ...

    def share(self) -> MapSource:
        """One more handle on the same content, of the same kind; each handle is closed on its own (a handle may be
        the same object, which counts)."""
        ...

    def read_at(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``, b"" at the end. A host file may give less where the host has no more in
        memory, and raises WouldBlock while the host must wait for its disk; ``ready`` wakes when the data has come, and
        the same call then succeeds."""
        ...

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        """How many bytes were written; a gap before them reads as zeros. KernelError(EBADF) for a file that was not
        opened for writing; ENOSPC, EFBIG."""
        ...

    def close(self) -> None:
        """This handle, once."""
        ...


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
    """An open regular file of a host tree (:class:`HostDirectory`). Errors are KernelError with Linux's numbers."""

    def stat(self) -> HostStat:
        """Now; of the file itself, whatever its name is meanwhile."""
        ...

    def read_now(self, size: int, offset: int) -> bytes:
        """As ``read_at``, but waits for the disk: for pages that the kernel itself touches."""
        ...

    @property
    def ready(self) -> WaitQueue:
        """``watch(key, callback)``, until ``unwatch(key)``: called from ``poll`` when something has come."""
        ...

    def truncate(self, size: int) -> None:
        """ftruncate(2)."""
        ...

    def sync(self) -> None:
        """fsync(2)."""
        ...


class HostDirectory(Protocol):
    """One directory of a host tree. Every name is a single component; no call follows a symbolic link, leaves the
    mounted tree, or crosses onto another file system. Errors are KernelError with Linux's numbers.

    Host trees are no platform's: south/hostfiles.py has them for POSIX hosts, south/local/directory.py for any. They
    are here because the kernel sees them as it sees a platform."""

    def stat(self, name: bytes) -> HostStat:
        """lstat(2)."""
        ...

    def stat_self(self) -> HostStat:
        """Of the directory."""
        ...

    def readlink(self, name: bytes) -> bytes:
        """The target, whole; EINVAL."""
        ...

    def listdir(self) -> list[tuple[bytes, int, int]]:
        """(name, inode, d_type) of each entry, without . and .. ."""
        ...

    def directory(self, name: bytes) -> HostDirectory:
        """A directory in this one; ENOTDIR."""
        ...

    def open(self, name: bytes, *, write: bool = False) -> HostFile:
        """Open a regular file (anything else is EACCES)."""
        ...

    # The rest is for mounts the user made writable (HOST:GUEST:rw).

    def create(self, name: bytes, mode: int) -> HostFile:
        """Make a regular file and open it for writing; EEXIST. ``mode``: its permissions, no umask."""
        ...

    def mkdir(self, name: bytes, mode: int) -> None:
        """mkdir(2), no umask."""
        ...

    def symlink(self, target: bytes, name: bytes) -> None:
        """symlink(2)."""
        ...

    def link(self, name: bytes, directory: HostDirectory, new_name: bytes) -> None:
        """link(2), into a directory of the same tree."""
        ...

    def unlink(self, name: bytes) -> None:
        """unlink(2); EISDIR for a directory."""
        ...

    def rmdir(self, name: bytes) -> None:
        """rmdir(2)."""
        ...

    def rename(self, name: bytes, directory: HostDirectory, new_name: bytes, flags: int) -> None:
        """renameat2(2), within a tree; EINVAL for flags that the host has not."""
        ...

    def chmod(self, name: bytes, mode: int) -> None:
        """The permissions of what is no symbolic link."""
        ...

    def utime(self, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        """Both times; ns since the epoch."""
        ...

    def close(self) -> None:
        """Give back what the host gave for it."""
        ...


class HostStream(Protocol):
    """A console stream: one end of what the user gave as stdin, stdout or stderr. No platform's own: south/streams.py
    has them for descriptors, which wait by ``HostedPlatform.watch_events``."""

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

    def close(self) -> None:
        """Nobody waits for it any more."""
        ...


class SharedBuffer(MapSource, Protocol):
    """Memory that can be both read and written by the kernel and mapped by guests (a memfd on Linux). What one side
    writes the other sees. It is there until its last handle is closed and its last mapping is gone."""

    @property
    def users(self) -> int:
        """How many handles there are of it (:meth:`share` makes one more); mappings are not counted."""
        ...

    def size(self) -> int:
        """Bytes; a new buffer has none."""
        ...

    def truncate(self, size: int) -> None:
        """Cut off, or lengthen by zeros. Pages behind the new end are a guest's SIGBUS, private copies of them too;
        EFBIG, ENOSPC."""
        ...

    def seal(self) -> None:
        """From now on nobody writes to it, whatever they hold of it; EBUSY while it is mapped so that they may, or
        while other handles are open, which the platform may take for that."""
        ...


class GuestEvents(Protocol):
    """What a platform tells the North (implemented by ``north/linux``). All from within :meth:`Platform.poll`, one at a
    time; none of them raises. From within each the kernel may call anything of the threads, this one included (which it
    may kill: the platform looks before it goes on), but not ``poll``."""

    @property
    def work(self) -> Sized:
        """What the kernel will do when ``poll`` returns. While it is not empty, a platform may deliver a few more
        events (of the thread that just runs), but returns from ``poll`` soon: without waiting, whoever could run."""
        ...

    def syscall(self, task: Task, number: int, args: tuple[int, int, int, int, int, int]) -> int | None:
        """A guest thread made a system call; its result, or None if it is parked (``GuestThread.complete`` follows), if
        it has ended, or if the platform finishes the call itself (``clone``, ``change_memory``)."""
        ...

    def safe_point(self, task: Task, context: MachineContext) -> bool:
        """The thread stands at a safe point: between two instructions, in no call. Told after a kick, and after a
        mask's change that is attended to; never twice for one kick. True: it goes on with ``context``. False: it is
        held until :meth:`GuestThread.kick` is called again, which brings a new safe point (or it has ended)."""
        ...

    def fault(self, task: Task, context: MachineContext, signo: int, siginfo: bytes) -> bool:
        """An instruction of the thread raised a fault: SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP, whose ``siginfo``
        (128 bytes) is as Linux's: si_code, and si_addr, the address of the access or of the instruction. This is a safe
        point, too; a kick that waits is met by it or gets its own. True: the instruction is executed again, or
        wherever ``context`` says."""
        ...

    def sigreturn(self, task: Task, context: MachineContext) -> bool:
        """The thread called rt_sigreturn(2); ``context`` holds its registers at the call. As ``fault`` for the rest."""
        ...

    def started(self, task: Task) -> None:
        """A cloned thread is about to run its first instruction; its first event. The kernel may kill it here."""
        ...

    def clone_failed(self, parent: Task, tid: int) -> None:
        """A clone that the kernel had granted (by None) failed in the host: the task ``tid`` never was. The platform
        finishes the parent's call with the errno."""
        ...

    def vfork_wait(self, parent: Task, tid: int) -> int | None:
        """Asked with the child ``tid`` of a vfork (CLONE_VFORK) made, before the parent goes on: its result, or None,
        and the parent stands parked until the child has exec'd or ended. The child runs meanwhile."""
        ...

    def lost(self, task: Task, error: Exception | None = None) -> None:
        """The guest process of ``task`` ended without the kernel's order: the host killed it, or the platform had to,
        for want of memory, because it did what no guest of ours can, or because of an ``error`` of ours. Told once for
        a process, for one of its threads; they all have ended."""
        ...


class Platform(Protocol):
    """A host platform, as the kernel knows it."""

    name: str
    #: Who owns memory areas and futexes: the host (True: threads are DelegatedThreads), or the kernel (ManagedThreads).
    delegates_memory: bool
    #: Address ranges (start, end) that the platform needs in every guest process: no program is loaded there.
    reserved: tuple[tuple[int, int], ...]

    def attach(self, events: GuestEvents) -> None:
        """Say who is told about guests; once, before anything else but the clocks, ``random`` and ``cpu_count``."""
        ...

    def poll(self, deadline: int | None) -> None:
        """Wait until something happened or the monotonic clock (ns) reaches ``deadline`` (None: for ever), and deliver
        it. It returns after each bit of work, so that the kernel has its turn; also with nothing delivered. While
        guests run or make calls without end, it returns at the deadline all the same (give or take a time slice). A
        platform that has no guests, or only scripts, answers that nothing can ever happen by an exception."""
        ...

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        """Make an empty guest process, for exec. ``ready`` gets its thread, at once or from a later ``poll``, or None
        if the host can't make one: exactly once. Requests are served in order."""
        ...

    def bind(self, thread: GuestThread, task: Task) -> None:
        """Say which task a thread from ``new_process`` belongs to from now on; once, before ``load``. The task may have
        had another thread, which has been killed (exec)."""
        ...

    def shared_buffer(self, name: str) -> SharedBuffer:
        """A new one, of size 0; the name is for those who look at the host. ENOMEM, ENFILE."""
        ...

    def monotonic_ns(self) -> int:
        """The clock of all deadlines, ns; it never goes back."""
        ...

    def realtime_ns(self) -> int:
        """Since the epoch, ns."""
        ...

    def random(self, size: int) -> bytes:
        """``size`` bytes that nobody can guess (the mock's are repeatable)."""
        ...

    def auxv(self) -> dict[int, int]:
        """The auxiliary vector entries that describe the machine: AT_HWCAP, AT_HWCAP2, AT_PAGESZ, AT_CLKTCK,
        AT_MINSIGSTKSZ (the size of a signal frame), AT_SYSINFO_EHDR if it maps a vDSO. What is missing is left out."""
        ...

    def cpu_count(self) -> int:
        """On how many CPUs guests run at a time; at least 1."""
        ...

    def close(self) -> None:
        """End every guest process and give back all the host gave: processes, threads, descriptors, memory. No event
        comes from it, and nothing is called afterwards but ``close``, which does nothing then."""
        ...


class HostedPlatform(Platform, Protocol):
    """A platform that a supervisor's process runs (supervisor/compose.py): beside the kernel, that needs to wait for
    descriptors of its own, and to know what its walls must leave."""

    def start(self) -> None:
        """Between ``attach`` and the first ``poll``, with the process's file-system walls up and its own system-call
        filter not yet: whatever must be started then. StartError (south/start.py), a sentence."""
        ...

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back from ``poll`` whenever a host descriptor of the supervisor itself is readable. The callback reads
        what there is: guests need not get a turn before."""
        self.watch_events(fd, 1, lambda events: callback())

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """As ``watch``, for events in the bits of epoll(7): EPOLLIN 1, EPOLLOUT 4, EPOLLONESHOT 1 << 30; the callback
        gets those that came. May be called again to change or re-arm. OSError for a file that cannot be waited for."""
        ...

    def unwatch(self, fd: int) -> None:
        """From now on there are no callbacks; also for a descriptor that is not watched. Before it is closed."""
        ...

    def descriptors(self) -> set[int]:
        """The host descriptors that the platform holds in this process, after ``start``."""
        ...
