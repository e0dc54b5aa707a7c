"""Tasks (threads) and processes: the state that every family of calls shares.

A :class:`Task` is one guest thread, a :class:`Process` one thread group. They hold state only; what happens to them
is in ``process.py`` (life cycle), ``signals.py``, ``wait.py`` and the file systems. Ids are virtual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.resource import RLIM_INFINITY, RLIM_NLIMITS
from pylitebox.kernel.memory import delegated
from pylitebox.kernel.platform import NO_MEMORY, NOTHING, Ids
from pylitebox.kernel.signal_state import Actions, PendingSignals
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.descriptors import FileTable
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.fs.vfs import Location
    from pylitebox.kernel.ipc.shm import Attachments
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.memory.space import Space
    from pylitebox.kernel.platform import GuestThread, Memory
    from pylitebox.kernel.stops import Sleepers
    from pylitebox.kernel.timers import Timer
    from pylitebox.kernel.tty.terminal import Terminal
    from pylitebox.kernel.wait import Blocking, Wait


class Layout:
    """One address space: where a program's memory parts lie (struct mm_struct's facts that calls and /proc need)."""

    __slots__ = (
        "arg_area",
        "attachments",
        "auxv",
        "brk",
        "brk_limit",
        "brk_start",
        "env_area",
        "locked",
        "space",
        "stack",
        "users",
    )

    def __init__(self) -> None:
        self.brk_start = 0
        self.brk = 0
        self.brk_limit = 0
        self.stack = (0, 0)
        self.arg_area = (0, 0)
        self.env_area = (0, 0)
        self.auxv = b""
        self.users = 1  # processes that share it
        self.attachments: Attachments | None = None  # segments of shared memory, once there was one
        self.locked: list[tuple[int, int]] = []  # by mlock(2), where the platform keeps the areas (memory/locked.py)
        self.space: Space | None = None  # its areas, where the kernel manages memory

    def copy(self, pid: int) -> Layout:
        """The address space of a child that ``pid`` forks."""
        new = Layout()
        for name in self.__slots__:
            setattr(new, name, getattr(self, name))
        new.users = 1
        new.locked = []
        new.space = None  # the platform must copy its pages first (process.clone)
        if self.attachments is not None:
            new.attachments = self.attachments.copy(pid)
        return new

    def leave(self, pid: int) -> None:
        """Process ``pid`` has ended or has another."""
        self.users -= 1
        if self.users:
            return
        if self.attachments is not None:
            self.attachments.release(pid)
            self.attachments = None
        if self.space is not None:
            self.space.drop()
            self.space = None


class Scheduling:
    """What a thread was told about scheduling. It is remembered, inherited and answered; the host decides."""

    __slots__ = ("affinity", "ioprio", "nice", "policy", "priority", "reset_on_fork", "slack_ns")

    def __init__(self) -> None:
        self.nice = 0
        self.policy = 0  # SCHED_OTHER
        self.priority = 0  # of SCHED_FIFO and SCHED_RR
        self.reset_on_fork = False
        self.ioprio = 0
        self.slack_ns = 50_000
        self.affinity: int | None = None  # a mask of CPUs; None: all

    def copy(self) -> Scheduling:
        new = Scheduling()
        if not self.reset_on_fork:
            new.nice, new.policy, new.priority = self.nice, self.policy, self.priority
        elif self.policy not in {1, 2}:
            new.nice = max(self.nice, 0)
        new.ioprio, new.slack_ns, new.affinity = self.ioprio, self.slack_ns, self.affinity
        return new


class Task:
    """One guest thread."""

    __slots__ = (
        "_blocked",
        "altstack",
        "call",
        "clear_child_tid",
        "cred",
        "exit_queue",
        "exiting",
        "files",
        "fs",
        "interrupted",
        "kernel",
        "kicked",
        "memory",
        "name",
        "pending",
        "process",
        "robust_list",
        "saved_mask",
        "sched",
        "set_child_tid",
        "signal_pending",
        "signal_queue",
        "stands_in_vfork",
        "stopped",
        "switches",
        "syscall_args",
        "syscall_number",
        "thread",
        "tid",
        "trace_entry",
        "wait",
        "wait_timer",
        "woken",
    )

    def __init__(self, kernel: Kernel, tid: int, process: Process, cred: Credentials) -> None:
        self.kernel = kernel
        self.tid = tid
        self.process = process
        self.cred = cred
        self.files: FileTable = process.files
        self.fs: FsContext = process.fs
        self.name = process.name  # comm, at most 15 bytes
        # the platform's side
        self.thread: GuestThread | None = None
        self.memory: Memory = NO_MEMORY
        # a parked call (wait.py)
        self.call: Blocking | None = None
        self.wait: Wait | None = None
        self.wait_timer: Timer | None = None
        self.woken = False
        self.switches = 0  # calls that had to wait
        # signals (signals.py)
        self._blocked = 0
        self.saved_mask: int | None = None  # the mask to restore after sigsuspend, ppoll, ...
        self.pending: PendingSignals = PendingSignals()
        self.signal_pending = False  # a handler, a stop or an end waits for the next safe point
        self.signal_queue = WaitQueue()  # woken by any signal queued for this task (sigtimedwait)
        self.kicked = False
        self.stopped = False  # with its process
        self.stands_in_vfork = False  # until its child has exec'd or ended: it takes no stop (TASK_KILLABLE)
        self.altstack: tuple[int, int, int] = (0, 2, 0)  # sp, flags (SS_DISABLE), size
        self.interrupted: int | None = None  # restart code of the call that just ended with EINTR
        self.exiting = False
        self.exit_queue: WaitQueue | None = None  # woken when this thread ends, once there is a pidfd of it
        # set by the dispatcher for restarts and traces
        self.syscall_number = 0
        self.syscall_args: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
        self.trace_entry: object = None
        # thread exit (man 2 set_tid_address, get_robust_list)
        self.clear_child_tid = 0
        self.set_child_tid = 0  # where the child of a clone finds its id (CLONE_CHILD_SETTID)
        self.robust_list = 0
        self.sched = Scheduling()

    @property
    def blocked(self) -> int:
        """The signal mask: the thread's, which may change it without asking, once there is one."""
        return self._blocked if self.thread is None else self.thread.blocked

    @blocked.setter
    def blocked(self, mask: int) -> None:
        if self.thread is None:
            self._blocked = mask
        else:
            self.thread.blocked = mask

    def commit_creds(self, cred: Credentials) -> None:
        """Take on other credentials; what is open was opened with the old ones."""
        self.files.note_opener(self.cred)
        self.cred = cred
        self.tell_ids()

    def tell_ids(self) -> None:
        """The platform may know the thread's ids."""
        if self.thread is not None:
            process, cred = self.process, self.cred
            ppid = process.parent.pid if process.parent is not None else 0
            self.thread.ids_changed(Ids(self.tid, process.pid, ppid, cred.uid, cred.euid, cred.gid, cred.egid))

    def __repr__(self) -> str:
        return f"<Task {self.tid} of {self.process.pid} {self.name!r}>"


class Process:
    """One thread group. ``state`` is 'running', 'stopped', 'zombie' or 'dead' (reaped)."""

    __slots__ = (
        "actions",
        "argv",
        "attention",
        "child_queue",
        "children",
        "children_used",
        "continued",
        "dumpable",
        "environ",
        "exe",
        "exec_count",
        "exit_queue",
        "exit_signal",
        "files",
        "fs",
        "itimers",
        "kernel",
        "last_uid",
        "layout",
        "mce_kill",
        "name",
        "no_new_privs",
        "oom_score_adj",
        "parent",
        "pdeathsig",
        "pending",
        "persona",
        "pgid",
        "pid",
        "posix_timers",
        "rlimits",
        "sem_undo",
        "sid",
        "sleepers",
        "start_time",
        "state",
        "status",
        "stop_signal",
        "subreaper",
        "tasks",
        "thp_disable",
        "tty",
        "tty_old_group",
        "used",
        "vfork_queue",
        "vforked",
        "waited_stop",
    )

    def __init__(self, kernel: Kernel, pid: int, parent: Process | None, files: FileTable, fs: FsContext) -> None:
        self.kernel = kernel
        self.pid = pid
        self.parent = parent
        self.children: dict[int, Process] = {}
        self.tasks: dict[int, Task] = {}
        self.files = files
        self.fs = fs
        self.pgid = pid
        self.sid = pid
        self.name = b""
        self.exe: Location | None = None
        self.argv: list[bytes] = []
        self.environ: list[bytes] = []
        self.layout = Layout()
        self.state = "running"
        self.status = 0  # wait status word once a zombie
        self.exit_queue = WaitQueue()  # woken when this process ends (pidfds, box.run)
        self.child_queue = WaitQueue()  # woken when a child changes state (wait4)
        self.vforked = False  # the parent stands in vfork
        self.vfork_queue = WaitQueue()  # woken when this process has exec'd or ended
        self.actions: Actions = Actions()
        self.pending: PendingSignals = PendingSignals()
        self.attention = False  # its threads were told to report each change of their masks (signals.py)
        self.stop_signal = 0
        self.sleepers: Sleepers | None = None  # threads that the present stop lets sleep on (stops.py)
        self.waited_stop = True  # the present stop has been reported by wait
        self.continued = False  # a continue not yet reported by wait
        self.rlimits: list[tuple[int, int]] = [(RLIM_INFINITY, RLIM_INFINITY)] * RLIM_NLIMITS
        self.sem_undo: dict[object, None] = {}  # semaphore sets that take back at the end what it did
        self.itimers: dict[int, object] = {}
        self.posix_timers: dict[int, object] = {}
        self.no_new_privs = False
        self.oom_score_adj = 0
        self.thp_disable = False
        self.mce_kill = 2  # PR_MCE_KILL_DEFAULT
        self.dumpable = 1
        self.subreaper = False
        self.pdeathsig = 0
        self.exec_count = 0
        self.start_time = kernel.platform.monotonic_ns()
        self.used = NOTHING  # by programs and threads that have ended; final once a zombie
        self.children_used = NOTHING  # by reaped children and theirs
        self.exit_signal = 17  # sent to the parent at the end; SIGCHLD unless clone(2) named another, 0: none
        self.last_uid = 0  # real uid, as siginfo says it once no thread is left
        self.persona = 0  # man 2 personality
        self.tty: Terminal | None = None  # the controlling terminal (tty/jobs.py)
        self.tty_old_group = 0  # of a session leader: the foreground group of a terminal that was hung up

    @property
    def leader(self) -> Task | None:
        return self.tasks.get(self.pid)

    @property
    def program_break(self) -> int:
        """Where the heap ends (man 2 brk): what a thread's platform knows of it, else the layout's."""
        task = next((task for task in self.tasks.values() if task.thread is not None), None)
        if task is None or self.layout.space is not None:
            return self.layout.brk
        return delegated(task).program_break() or self.layout.brk

    def __repr__(self) -> str:
        return f"<Process {self.pid} {self.name!r} {self.state}>"
