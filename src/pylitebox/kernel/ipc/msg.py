"""System V message queues (man 7 sysvipc, man 2 msgop; ipc/msg.c).

A message that somebody waits for is handed over when it is sent, so it is never seen in the queue; a sender that waits
for room tries again when there may be some. Sizes count against the sandbox's memory for IPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ipc
from pylitebox.kernel.credentials import CAP_SYS_RESOURCE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.ipc.table import S_IRUGO, S_IWUGO, IpcObject, IpcTable
from pylitebox.kernel.wait import ERESTARTNOHAND, Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Task

#: What a message beyond its text, and a queue, take of the supervisor's memory, bytes.
_MESSAGE_COST = 160
_QUEUE_COST = 2048
_LONG_MAX = (1 << 63) - 1


class Message:
    """One message."""

    __slots__ = ("text", "type")

    def __init__(self, kind: int, text: bytes) -> None:
        self.type = kind
        self.text = text


class Wanted:
    """What msgrcv(2) asks for: its type and flags."""

    __slots__ = ("flags", "type")

    def __init__(self, kind: int, flags: int) -> None:
        self.type = kind
        self.flags = flags

    def matches(self, message: Message) -> bool:
        wanted = self.type
        if wanted == 0:
            return True
        if wanted < 0:
            return message.type <= min(-wanted, _LONG_MAX)
        return (message.type != wanted) is bool(self.flags & ipc.MSG_EXCEPT)


class _Receiver:
    """A msgrcv that waits. ``message`` is what it was handed; ``errno`` why it gets none."""

    __slots__ = ("errno", "message", "pid", "queue", "size", "wanted")

    def __init__(self, pid: int, wanted: Wanted, size: int) -> None:
        self.pid = pid
        self.wanted = wanted
        self.size = size  # the longest text that it takes
        self.queue = WaitQueue()
        self.message: Message | None = None
        self.errno = 0


class MessageQueue(IpcObject):
    """One queue."""

    def __init__(self, kernel: Kernel, key: int, mode: int, cred: Credentials) -> None:
        super().__init__(kernel, key, mode, cred)
        self.messages: list[Message] = []
        self.bytes = 0
        self.max_bytes = ipc.MSGMNB
        self.stime = self.rtime = 0
        self.lspid = self.lrpid = 0
        self._receivers: dict[_Receiver, None] = {}
        self._senders = WaitQueue()

    # -- sending ----------------------------------------------------------------------------------------------

    def send(self, task: Task, message: Message, flags: int) -> int | Blocking:
        """msgsnd(2): 0, or a call that waits for room; EAGAIN, EACCES, ENOMEM."""
        self.check(task.cred, S_IWUGO)
        fits = self._fits(message)
        if not fits and flags & ipc.IPC_NOWAIT:
            raise KernelError(E.EAGAIN)
        self.kernel.ipc.memory.take(len(message.text) + _MESSAGE_COST)
        if not fits:
            return self._send_later(task, message)
        self._put(task, message)
        return 0

    def _send_later(self, task: Task, message: Message) -> Blocking:
        sent = False
        try:
            while not sent:
                yield Wait(self._senders, restart=ERESTARTNOHAND)
                if self.removed:
                    raise KernelError(E.EIDRM)
                self.check(task.cred, S_IWUGO)
                if self._fits(message):
                    sent = True
                    self._put(task, message)
        finally:
            if not sent:
                self._forget(message)
        return 0

    def _forget(self, message: Message) -> None:
        """It neither is in the queue nor waits to be."""
        self.kernel.ipc.memory.give(len(message.text) + _MESSAGE_COST)

    def _fits(self, message: Message) -> bool:
        return self.bytes + len(message.text) <= self.max_bytes and len(self.messages) < self.max_bytes

    def _put(self, task: Task, message: Message) -> None:
        for receiver in self._receivers:
            if receiver.message is None and not receiver.errno and receiver.wanted.matches(message):
                receiver.queue.wake()
                if receiver.size < len(message.text):
                    receiver.errno = E.E2BIG
                    continue
                receiver.message = message
                self._forget(message)
                self.lrpid, self.rtime = receiver.pid, self.now()
                break
        else:
            self.messages.append(message)
            self.bytes += len(message.text)
        self.lspid, self.stime = task.process.pid, self.now()

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, task: Task, wanted: Wanted, size: int, deliver: Callable[[Message], int]) -> int | Blocking:
        """msgrcv(2): what ``deliver`` makes of the message, or a call that waits; ENOMSG, E2BIG, EACCES."""
        self.check(task.cred, S_IRUGO)
        index = self._find(wanted)
        if index is not None:
            return deliver(self._take(task, index, wanted, size))
        if wanted.flags & ipc.IPC_NOWAIT:
            raise KernelError(E.ENOMSG)
        return self._receive_later(task, wanted, size, deliver)

    def _receive_later(self, task: Task, wanted: Wanted, size: int, deliver: Callable[[Message], int]) -> Blocking:
        limit = ipc.MSGMAX if wanted.flags & ipc.MSG_NOERROR else size
        receiver = _Receiver(task.process.pid, wanted, limit)
        self._receivers[receiver] = None
        try:
            while True:
                yield Wait(receiver.queue, restart=ERESTARTNOHAND)
                if receiver.message is not None:
                    message, receiver.message = receiver.message, None
                    return deliver(message)
                if receiver.errno:
                    raise KernelError(receiver.errno)
                self.check(task.cred, S_IRUGO)  # IPC_SET
        finally:
            self._receivers.pop(receiver, None)
            if receiver.message is not None:  # handed over to one that ends: it is lost, as on Linux
                receiver.message = None

    def _find(self, wanted: Wanted) -> int | None:
        """The index of the message that is asked for."""
        messages = self.messages
        if wanted.flags & ipc.MSG_COPY:
            return wanted.type if 0 <= wanted.type < len(messages) else None
        if wanted.type < 0:
            best = min(range(len(messages)), key=lambda i: messages[i].type, default=None)
            return best if best is not None and wanted.matches(messages[best]) else None
        return next((i for i, message in enumerate(messages) if wanted.matches(message)), None)

    def _take(self, task: Task, index: int, wanted: Wanted, size: int) -> Message:
        message = self.messages[index]
        length = len(message.text)
        if length > size and not wanted.flags & ipc.MSG_NOERROR:
            raise KernelError(E.E2BIG)
        if wanted.flags & ipc.MSG_COPY:
            if length > size:
                raise KernelError(E.EINVAL)
            return message
        del self.messages[index]
        self.bytes -= length
        self._forget(message)
        self.lrpid, self.rtime = task.process.pid, self.now()
        self._senders.wake()
        return message

    # -- control ----------------------------------------------------------------------------------------------

    def change(self, cred: Credentials, owner: tuple[int, int, int], max_bytes: int) -> None:
        """IPC_SET; EPERM."""
        if max_bytes > ipc.MSGMNB and not cred.capable(CAP_SYS_RESOURCE):
            raise KernelError(E.EPERM)
        self.set_owner(*owner)
        self.max_bytes = max_bytes
        self.ctime = self.now()
        self._wake()

    def _wake(self) -> None:
        """Permissions, room or the queue itself have changed: all who wait look again."""
        for receiver in self._receivers:
            receiver.queue.wake()
        self._senders.wake()

    def end(self) -> None:
        """It was removed."""
        for receiver in self._receivers:
            receiver.errno = receiver.errno or (0 if receiver.message is not None else E.EIDRM)
        self._wake()
        self.kernel.ipc.memory.give(self.bytes + _MESSAGE_COST * len(self.messages))
        self.messages.clear()


class MessageQueues(IpcTable[MessageQueue]):
    """All queues."""

    def __init__(self, memory: Budget) -> None:
        super().__init__(ipc.MSGMNI)
        self._memory = memory

    def open(self, task: Task, key: int, flags: int) -> int:
        """msgget(2)."""

        def make() -> MessageQueue:
            self._memory.take(_QUEUE_COST)
            return MessageQueue(task.kernel, key, flags, task.cred)

        return self.get(key, flags, task.cred, make, lambda found: True)

    def remove(self, thing: MessageQueue) -> None:
        super().remove(thing)
        self._memory.give(_QUEUE_COST)
        thing.end()
