"""The native platform: one loop over notifications, answered by the kernel.

What arrives through the notification descriptor is either a plain system call of a guest thread, or a *request* of the
stub: an lseek with an impossible descriptor that says why the stub needs us (layout.py). A thread that we do not know
is a child that reports in, the template, or an intruder, whose process ends.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.auxv import AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ, AT_SYSINFO_EHDR
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA
from pylitebox.abi.sched import CLONE_NEWPID, CLONE_NEWUSER, CLONE_THREAD, CLONE_VM
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.log import log
from pylitebox.south.clocks import HostClocks
from pylitebox.south.native.buffers import Memfd
from pylitebox.south.native.context import RAX, SignalContext, registers
from pylitebox.south.native.launch import Launch, NamespacesRefused, auxiliary_vector, initial_stack, launch
from pylitebox.south.native.layout import (
    BLOCK_HEAD,
    CLONE_FAILED,
    DONE,
    FORWARD,
    FRESH,
    HELLO,
    KICK,
    LOADED,
    MEMORY,
    REQUEST,
    SAFE_POINT,
    SIGACTION,
    SIGRETURN,
    STEP,
    STEP_END,
    STUB_BASE,
    STUB_END,
    TEMPLATE,
    VFORK,
)
from pylitebox.south.native.memory import NativeMemory
from pylitebox.south.native.notify import Listener
from pylitebox.south.native.placement import Placement
from pylitebox.south.native.strays import Strays
from pylitebox.south.native.thread import NativeProcess, NativeThread, action_table, result_register, shares_actions
from pylitebox.south.start import StartError

if TYPE_CHECKING:
    from pylitebox.kernel.platform import GuestEvents, GuestThread
    from pylitebox.kernel.task import Task

_NR_LSEEK = 8
_NR_CLONE = 56
_NR_MUNMAP = 11
_NR_EXIT_GROUP = 231
_NR_TGKILL = 234
#: The faults that the stub catches.
_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP})
#: Seconds; a timer may be set to a time that epoll_wait cannot express.
_LONGEST_WAIT = 86400.0
_syscall = ctypes.PyDLL(None).syscall
_syscall.restype = ctypes.c_long
#: The auxiliary vector entries that say something about the machine, not about the template.
_MACHINE = frozenset((AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ, AT_SYSINFO_EHDR))
#: How long a granted child may take until it reports in. One that never does can reach nothing: all its calls end it.
_HELLO_NS = 10_000_000_000
_MAX_REMEMBERED = 1024
#: Threads that run nothing side by side: one guest's, and the empty process that is kept ready.
_LONELY = 2
#: How long the guardian may take to end all guests.
_END_MS = 2000
#: What is put around the guests where it can be had: they see no other process and are nobody in ours.
_NAMESPACES = CLONE_NEWUSER | CLONE_NEWPID


class NativePlatform(HostClocks):
    """Platform over seccomp user notification. ``start`` makes guardian and template; call it after confinement by
    Landlock and before our own filter (DESIGN.md section 1)."""

    name = "native"
    delegates_memory = True
    reserved: tuple[tuple[int, int], ...] = ((STUB_BASE, STUB_END),)

    def __init__(
        self,
        *,
        stub: str | None = None,
        landlock: tuple[int, int, int] = (0, 0, 0),
        namespaces: int | None = None,
        address_space: int = 0,
        urandom: int | None = None,
        local: bool = True,
    ) -> None:
        """``landlock``, ``namespaces``, ``address_space``: further walls around the guests (launch.py). Namespaces
        None: a user and a PID namespace where the host grants them; :attr:`namespaces` says after the start.
        ``urandom``: a descriptor of /dev/urandom, for a process that may not call getrandom(2). ``local``: the stub
        answers what it can; False: each call is seen by the kernel, for traces."""
        self._stub = stub
        self._landlock = landlock
        self._wanted_namespaces = namespaces
        self.namespaces = 0
        self._address_space = address_space
        self._hard_limits = {which: resource.getrlimit(which)[1] & RLIM_INFINITY for which in (RLIMIT_AS, RLIMIT_DATA)}
        if address_space:
            self._hard_limits[RLIMIT_AS] = address_space
        self._placement = Placement()
        self.urandom = urandom
        self._local = local
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._threads: dict[int, NativeThread] = {}  # by host tid
        self._processes: dict[int, NativeProcess] = {}  # by host tgid
        self._cloning: dict[int, NativeThread] = {}  # granted children by virtual tid, not yet reported in
        self._fresh: deque[NativeThread] = deque()  # empty processes, ready
        self._waiting: deque[Callable[[GuestThread | None], None]] = deque()
        self._rerun: deque[NativeThread] = deque()
        self._ended: OrderedDict[int, None] = OrderedDict()  # host tids of processes ended lately
        self._given_up: OrderedDict[int, None] = OrderedDict()  # virtual tids that need not report in any more
        self._strays = Strays(_HELLO_NS)
        self._template_tid = 0
        self._template_ident = 0  # the notification the template waits in, 0 while it works
        self.plan = 0  # address of the plan, in every process
        self._template_forking = False
        self._auxv: dict[int, int] = {}
        self._closed = False
        self.strangers = 0  # notifications from threads we did not know; each ended its sender

    # -- start and end ----------------------------------------------------------------------------------------

    def attach(self, events: GuestEvents) -> None:
        self.events = events

    def start(self) -> None:
        """Start guardian and template and wait until an empty process is ready; StartError."""
        self._placement.gather()  # what is started now runs where we do
        self._launch = self._launch_with_namespaces()
        self.listener = Listener(self._launch.listener)
        self._epoll.register(self.listener.fd, select.EPOLLIN)
        deadline = self.monotonic_ns() + 10_000_000_000
        while not self._fresh:
            self.poll(deadline)
            if self.monotonic_ns() > deadline:
                self.close()
                raise StartError("the template did not report within 10 seconds")

    def host_limit(self, which: int, size: int) -> tuple[int, int]:
        """A guest process's limit on the host: ``size``, but never above what all of them were started with."""
        hard = self._hard_limits[which]
        return min(size, hard), hard

    def descriptors(self) -> set[int]:
        """The host descriptors that the platform holds (those of console streams are their makers')."""
        held = {self._epoll.fileno(), self.listener.fd, self._launch.life}
        if self.urandom is not None:
            held.add(self.urandom)
        for process in self._processes.values():
            held |= {process.pidfd, process.memory.fileno()}
        return held

    def _launch_with_namespaces(self) -> Launch:
        wanted = self._wanted_namespaces
        for namespaces in (_NAMESPACES, 0) if wanted is None else (wanted,):
            try:
                started = launch(
                    self._stub,
                    landlock=self._landlock,
                    namespaces=namespaces,
                    address_space=self._address_space,
                    local=self._local,
                )
            except NamespacesRefused:
                if wanted is not None:
                    raise
                continue
            self.namespaces = namespaces
            return started
        raise AssertionError  # without namespaces nobody refuses them

    @property
    def guardian_pid(self) -> int:
        return self._launch.guardian

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for process in list(self._processes.values()):
            try:
                signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
            except OSError:
                pass
            self.forget_process(process)
        os.close(self.listener.fd)  # whoever waits for an answer gets ENOSYS
        os.close(self._launch.life)  # the guardian ends the rest, then itself
        self._reap_guardian()
        self._epoll.close()

    def _reap_guardian(self) -> None:
        """Wait for the guardian's end, but not for ever: one that is stuck ends by force, and is init's to reap."""
        try:
            pidfd = os.pidfd_open(self._launch.guardian)
        except ProcessLookupError:
            return
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        if poller.poll(_END_MS):
            os.waitpid(self._launch.guardian, 0)
        else:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)

    # -- the loop ---------------------------------------------------------------------------------------------

    def poll(self, deadline: int | None) -> None:
        while self._rerun:
            self._safe_point_again(self._rerun.popleft())
        if self._cloning or self._strays.due is not None:
            deadline = self._expect_hello(deadline)
        watching = len(self._threads) > _LONELY and self._placement.matters
        if watching and (deadline is None or deadline > self._placement.due):
            deadline = self._placement.due
        timeout = -1.0
        if deadline is not None:
            now = time.monotonic_ns()
            if watching and now >= self._placement.due:  # the next call waits for the next look
                self._placement.look(now, self._threads, (self._template_tid,))
            timeout = min(_LONGEST_WAIT, (deadline - now) / 1e9) if deadline > now else 0.0
        # One event at a time: what it leads to may close descriptors that later events are about.
        for fd, events in self._epoll.poll(timeout, 1):
            if fd == self.listener.fd:
                self._notification()
            else:
                self._watched[fd](events)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self.watch_events(fd, select.EPOLLIN, lambda events: callback())

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """As watch, for any epoll events (EPOLLONESHOT included); may be called again to change or re-arm."""
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = callback

    def unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass

    def _notification(self) -> None:
        notification = self.listener.receive()
        if notification is None:
            return
        ident, tid, number = notification
        args: tuple[int, int, int, int, int, int] = self.listener.args  # type: ignore[assignment]
        thread = self._threads.get(tid)
        if thread is None:
            self._stranger(ident, tid, number, args)
            return
        thread.ident = ident
        thread.number = number
        if number == _NR_LSEEK and args[0] == REQUEST:
            self._request(thread, args)
            return
        if thread.done is not None:
            self.lose(thread)  # the stub does what it was told and says so: only hostile code gets here
            return
        task = thread.task
        if task is None:  # a process that should be waiting for its program
            self._end_intruder(tid)
            return
        if number == _NR_CLONE:
            result = self._clone(thread, task, args)
        else:
            result = self.events.syscall(task, number, args)
        if result is not None:
            self.listener.send(ident, result)

    # -- answers ----------------------------------------------------------------------------------------------

    def answer(self, thread: NativeThread, result: int) -> None:
        """Finish a call; at a safe point, signals that wait are delivered first."""
        if thread.frame:
            if thread.kick_wanted:
                self._deliver_inline(thread, result)
                return
            thread.frame = thread.request = 0
        self.listener.send(thread.ident, result)

    def _deliver_inline(self, thread: NativeThread, result: int) -> None:
        thread.kick_wanted = False
        task = thread.task
        assert task is not None
        try:
            context = SignalContext(thread.memory, thread.frame)
        except KernelError:
            self.lose(thread)
            return
        context.gregs[RAX] = result & 0xFFFFFFFFFFFFFFFF
        self._finish_safe_point(thread, context, self.events.safe_point(task, context))

    def _finish_safe_point(self, thread: NativeThread, context: SignalContext, go_on: bool) -> None:
        if thread.process is None or thread.process.dead:
            return
        if not go_on:
            thread.held = context
            return
        thread.held = None
        try:
            context.commit()
        except KernelError:
            self.lose(thread)
            return
        forwarded = thread.request in (FORWARD, MEMORY, SIGACTION)
        thread.frame = thread.request = 0
        if thread.kick_wanted:  # asked for while frames were built: once more, from outside
            thread.kick_wanted = False
            thread.kick()
        self.listener.send(thread.ident, result_register(context) if forwarded else 0)

    def rerun_safe_point(self, thread: NativeThread) -> None:
        """A held thread may go on perhaps: ask the kernel again, from the loop."""
        if thread not in self._rerun:
            self._rerun.append(thread)

    def _safe_point_again(self, thread: NativeThread) -> None:
        context = thread.held
        if context is None or thread.task is None or thread.process is None or thread.process.dead:
            return
        thread.held = None
        self._finish_safe_point(thread, context, self.events.safe_point(thread.task, context))

    # -- requests of the stub ---------------------------------------------------------------------------------

    def _request(self, thread: NativeThread, args: Sequence[int]) -> None:
        request = args[1]
        task = thread.task
        if task is None:
            self._end_intruder(thread.host_tid)
            return
        if thread.done is not None and request != DONE:
            self.lose(thread)
            return
        try:
            if request in (FORWARD, MEMORY, SIGACTION):
                self._forwarded(thread, task, request, args[2])
            elif request == SAFE_POINT:
                self._safe_point(thread, task, args[2], args[3])
            elif request == SIGRETURN:
                context = SignalContext(thread.memory, args[2])
                thread.request, thread.frame = request, args[2]
                self._finish_safe_point(thread, context, self.events.sigreturn(task, context))
            elif request == DONE and thread.done is not None:
                done, thread.done = thread.done, None
                thread.request, thread.frame = MEMORY, args[2]
                done(args[4] - (1 << 64) if args[4] >> 63 else args[4])
            elif request == VFORK and args[2] < 1 << 31:
                self._reply(thread, self.events.vfork_wait(task, args[2]))
            elif request == CLONE_FAILED:
                self._clone_failed(thread, task, args[2])
            elif request == LOADED and thread.loading is not None:
                if args[2]:
                    self.lose(thread)
                else:
                    thread.continue_loading()
            else:  # nothing the stub would ask of us now: a guest that plays with the number
                self.listener.send(thread.ident, -E.EBADF)
        except KernelError:
            # The frame is not where the request says: only hostile code gets here.
            thread.frame = thread.request = 0
            if request in (SAFE_POINT, SIGRETURN):
                self.lose(thread)
            else:
                self.listener.send(thread.ident, -E.EFAULT)

    def _reply(self, thread: NativeThread, result: int | None) -> None:
        if result is not None:
            self.answer(thread, result)

    def _forwarded(self, thread: NativeThread, task: Task, request: int, frame: int) -> None:
        """A call that the host's filters would have denied, or that must come from a safe point."""
        r = registers(thread.memory, frame)
        thread.request, thread.frame = request, frame
        thread.number = number = r[RAX] & 0xFFFFFFFF
        self._reply(thread, self.events.syscall(task, number, (r[8], r[9], r[12], r[2], r[0], r[1])))

    def _safe_point(self, thread: NativeThread, task: Task, signo: int, frame: int) -> None:
        context = SignalContext(thread.memory, frame)
        thread.request, thread.frame = SAFE_POINT, frame
        if signo == KICK:
            go_on = self.events.safe_point(task, context)
        elif signo in _FAULTS:
            go_on = self.events.fault(task, context, signo, context.siginfo())
        else:
            raise KernelError(E.EINVAL)  # no signal that the stub catches
        self._finish_safe_point(thread, context, go_on)

    # -- clone ------------------------------------------------------------------------------------------------

    def _clone(self, thread: NativeThread, task: Task, args: Sequence[int]) -> int | None:
        """The stub's clone: the host's flags, stack, parent tid, child tid, TLS, and the child's block."""
        native, stack, ptid, ctid, tls, block = args
        try:
            _, flags = BLOCK_HEAD.unpack(thread.memory.read(block, BLOCK_HEAD.size))
        except KernelError:
            return -E.EFAULT
        thread.native_flags = native
        thread.child_block = block
        return self.events.syscall(task, _NR_CLONE, (flags, stack, ptid, ctid, tls, 0))

    def grant_clone(self, parent: NativeThread, child: NativeThread, tid: int) -> None:
        """Let the host clone; the child reports in with ``tid``."""
        child.block = parent.child_block if child.clone_flags & CLONE_VM else parent.block
        process = parent.process
        assert process is not None
        actions = process.actions if shares_actions(child.clone_flags) else action_table(child.block)
        child.plan = (0, actions, 0)
        parent.cloned = tid
        if child.clone_flags & CLONE_VM and not child.clone_flags & CLONE_THREAD:
            process.memory.share()
        self._cloning[tid] = child
        child.deadline = time.monotonic_ns() + _HELLO_NS
        if child.process is not None:
            child.process.threads.add(child)  # the process lives on if all others end before it reports in
        self.listener.resume(parent.ident)

    @property
    def strays_full(self) -> bool:
        return self._strays.full

    def cancel_clone(self, child: NativeThread) -> None:
        """A granted child that must not live: it ends when it reports in."""
        child.task = None

    def _clone_failed(self, parent: NativeThread, task: Task, tid: int) -> None:
        child = self._cloning.get(tid)
        if child is not None and parent.cloned == tid and child.task is not None:
            del self._cloning[tid]
            self._give_up(child)
            self.events.clone_failed(task, tid)
        self.listener.send(parent.ident, 0)

    def _give_up(self, child: NativeThread) -> None:
        """A granted child that has not reported in and is not waited for any more; in truth it may be there."""
        self._strays.doubt(child.deadline, child.process)
        if child.process is not None:
            self.forget_thread(child)
        elif child.clone_flags & CLONE_VM:
            child.memory.close()

    def _hello(self, ident: int, tid: int, virtual: int) -> None:
        """A child reports in: bind the host's thread to the task that the kernel made for it."""
        child = self._cloning.pop(virtual, None)
        if child is None:
            self._end_intruder(tid, expected=virtual in self._given_up)
            return
        shares_memory = bool(child.clone_flags & CLONE_VM)
        if child.clone_flags & CLONE_THREAD:
            process = child.process
            assert process is not None
            if not os.path.exists(f"/proc/{process.tgid}/task/{tid}"):
                self._end_intruder(tid)
                self._lose_child(child)
                return
        else:
            try:
                pidfd = os.pidfd_open(tid)  # fails for a thread that leads no process
            except OSError:
                self._end_intruder(tid)
                self._lose_child(child)
                return
            try:
                memory = child.memory if shares_memory else NativeMemory(tid)
            except OSError:
                os.close(pidfd)
                self._lose_child(child)
                return
            process = self._add_process(tid, pidfd, memory, child.plan[1])
            child.process = process
            child.memory = memory
            if child.task is None or not self.listener.valid(ident):  # ended before it began
                child.process.threads.add(child)
                self.lose(child)
                return
        child.host_tid = tid
        child.ident = ident
        process.threads.add(child)
        self._threads[tid] = child
        child.runs()
        task = child.task
        if task is None:
            return
        task.memory = child.memory
        self.events.started(task)
        if child.kick_wanted:
            child.kick_wanted = False
            child.kick()
        self.listener.send(ident, 0)

    def _expect_hello(self, deadline: int | None) -> int:
        """Give up the children that have not reported in in time; when to look next."""
        now = time.monotonic_ns()
        while self._cloning:
            tid, child = next(iter(self._cloning.items()))  # the oldest first
            if child.deadline > now:
                deadline = child.deadline if deadline is None else min(deadline, child.deadline)
                break
            del self._cloning[tid]
            _remember(self._given_up, tid)
            self._lose_child(child)
        due = self._strays.due
        if due is not None and due <= now:
            self._end_strays(now)
            due = self._strays.due
        return min(when for when in (deadline, due, now + _HELLO_NS) if when is not None)

    def _end_strays(self, now: int) -> None:
        for tgid in self._strays.find(now, self._template_tid, self._processes, self._threads):
            log(f"host process {tgid} never reported in, or a thread of it: ended")
            process = self._processes.get(tgid)
            if process is None:
                self.tgkill(tgid, tgid, signal.SIGKILL)
            elif process.threads:
                self.lose(next(iter(process.threads)))

    def _lose_child(self, child: NativeThread) -> None:
        """A granted child will not come, or was somebody else."""
        self._give_up(child)
        if child.task is not None:
            self.events.lost(child.task)

    # -- threads and processes --------------------------------------------------------------------------------

    def _add_process(self, tgid: int, pidfd: int, memory: NativeMemory, actions: int) -> NativeProcess:
        process = NativeProcess(tgid, pidfd, memory, actions)
        self._processes[tgid] = process
        memory.join(tgid)
        self.watch_events(pidfd, select.EPOLLIN, lambda events: self._process_ended(process))
        return process

    def _process_ended(self, process: NativeProcess) -> None:
        """The host process is gone and the kernel did not order it."""
        if process.dead:
            return
        threads = list(process.threads)
        self.forget_process(process)
        for thread in threads:
            if thread.task is not None:
                self.events.lost(thread.task)
                break
        else:
            if any(thread in self._fresh for thread in threads):
                self._fresh = deque(thread for thread in self._fresh if thread not in threads)
                self._order()

    def forget_thread(self, thread: NativeThread) -> None:
        self._threads.pop(thread.host_tid, None)
        if thread.process is not None:
            thread.process.threads.discard(thread)

    def forget_process(self, process: NativeProcess) -> None:
        if process.dead:
            return
        process.dead = True
        for thread in list(process.threads):
            self.forget_thread(thread)
            _remember(self._ended, thread.host_tid)
        for tid in [tid for tid, child in self._cloning.items() if child.process is process]:
            del self._cloning[tid]
            _remember(self._given_up, tid)
        self._processes.pop(process.tgid, None)
        self.unwatch(process.pidfd)
        os.close(process.pidfd)
        process.memory.leave(process.tgid)

    def lose(self, thread: NativeThread) -> None:
        """End a guest process that cannot go on, and tell the kernel."""
        task = thread.task
        thread.kill()
        if task is not None:
            self.events.lost(task)

    def tgkill(self, tgid: int, tid: int, signo: int) -> None:
        _syscall(_NR_TGKILL, tgid, tid, signo)

    # -- threads that are not (yet) guests --------------------------------------------------------------------

    def _stranger(self, ident: int, tid: int, number: int, args: Sequence[int]) -> None:
        if number == _NR_LSEEK and args[0] == REQUEST:
            request = args[1]
            if request == HELLO:
                self._hello(ident, tid, args[2])
                return
            if request == TEMPLATE and tid == (self._template_tid or tid):
                self._template(ident, tid, args)
                return
            if request == FRESH and self._template_forking:
                self._fresh_process(ident, tid, args)
                return
        elif number == _NR_CLONE and tid == self._template_tid and self._template_forking:
            self.listener.resume(ident)
            return
        self._end_intruder(tid)

    def _end_intruder(self, tid: int, *, expected: bool = False) -> None:
        """End the process of a thread that is none of ours; ``expected``: it was ours a moment ago."""
        if tid in self._ended:  # its call was on its way to us when its process was ended
            del self._ended[tid]
        elif not expected:
            self.strangers += 1
            log(f"host thread {tid} made a notification that no guest of ours can make: ended")
        try:
            with open(f"/proc/{tid}/status", "rb") as status:
                tgid = next(int(line.split()[1]) for line in status if line.startswith(b"Tgid:"))
        except (OSError, StopIteration):
            return  # gone already
        self.tgkill(tgid, tid, signal.SIGKILL)

    def _template(self, ident: int, tid: int, args: Sequence[int]) -> None:
        self._template_ident = ident
        if not self._template_tid:
            self._template_tid = tid
            self.plan = args[2]
            self._auxv = auxiliary_vector(tid)
            start, end = initial_stack(tid)
            memory = NativeMemory(tid)
            steps = ((_NR_MUNMAP, start, end - start, 0, 0, 0, 0), (STEP_END, 0, 0, 0, 0, 0, 0))
            memory.poke(self.plan, b"".join(STEP.pack(*step) for step in steps))
            memory.close()
            self._template_ident = 0
            self.listener.send(ident, 0)
            return
        if args[3] >> 63 and self._template_forking:  # the host has no process for us
            self._template_forking = False
            while self._waiting:
                self._waiting.popleft()(None)
            return
        self._order()

    def _order(self) -> None:
        """Keep one empty process ready, and one for each that waits."""
        if self._template_ident and not self._template_forking and len(self._fresh) < max(1, len(self._waiting)):
            ident, self._template_ident = self._template_ident, 0
            self._template_forking = True
            self.listener.send(ident, 1)

    def _fresh_process(self, ident: int, tid: int, args: Sequence[int]) -> None:
        _, _, _, plan, stack, size = args
        if plan != self.plan or stack >> 32 != STUB_BASE >> 32 or size >> 32:  # no child of the template
            self._end_intruder(tid)
            return
        self._template_forking = False
        try:
            pidfd = os.pidfd_open(tid)
        except OSError:
            return
        try:
            memory = NativeMemory(tid)
        except OSError:
            os.close(pidfd)
            return
        block = stack - 0x1000
        process = self._add_process(tid, pidfd, memory, action_table(block))
        thread = NativeThread(self, process)
        thread.host_tid = tid
        thread.ident = ident
        thread.block = block
        thread.plan = (plan, stack, size)
        process.threads.add(thread)
        self._threads[tid] = thread
        self._fresh.append(thread)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._fresh and self._waiting:
            self._waiting.popleft()(self._fresh.popleft())
        self._order()

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        self._waiting.append(ready)
        self._serve_waiting()

    def bind(self, thread: GuestThread, task: Task) -> None:
        assert isinstance(thread, NativeThread)
        thread.task = task

    # -- the rest of the contract -----------------------------------------------------------------------------

    def shared_buffer(self, name: str) -> Memfd:
        return Memfd(name)

    def auxv(self) -> dict[int, int]:
        return {entry: value for entry, value in self._auxv.items() if entry in _MACHINE}

    def cpu_count(self) -> int:
        return len(self._placement.everywhere)


def _remember(ids: OrderedDict[int, None], ident: int) -> None:
    ids[ident] = None
    if len(ids) > _MAX_REMEMBERED:
        ids.popitem(last=False)
