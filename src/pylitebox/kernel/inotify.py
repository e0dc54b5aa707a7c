"""inotify(7): descriptors that tell what happened to the files they watch. What happens is reported by fs/notify.py.

Rules
- A queue holds MAX_QUEUED_EVENTS, and those of all instances share the sandbox's budget of bytes: what does not fit
  is one IN_Q_OVERFLOW. An event equal to the last one that still waits is not queued again.
- A watch keeps its file as long as the file has a name; see notify.py for what comes then.
- A user has MAX_USER_INSTANCES; all watches of the sandbox are one budget, which is what max_user_watches says.
Missing: IN_UNMOUNT, since nothing is ever unmounted.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from weakref import ref

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDONLY, RWF_HIPRI, SEEK_END
from pylitebox.abi.inotify import (
    IN_ALL_EVENTS,
    IN_DELETE_SELF,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_ISDIR,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_MOVE_SELF,
    IN_ONESHOT,
    IN_Q_OVERFLOW,
    INOTIFY_EVENT,
)
from pylitebox.abi.ioctl import FIONREAD
from pylitebox.abi.poll import POLLIN, POLLRDNORM
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.notify import watched
from pylitebox.kernel.sigio import POLL_IN
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Inode
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Task

MAX_QUEUED_EVENTS = 16384
MAX_USER_INSTANCES = 128
#: What a queued event takes of ours beside its name, bytes.
EVENT_COST = 256
_FLAGS = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT
_SELF_EVENTS = IN_DELETE_SELF | IN_MOVE_SELF

#: wd, mask, cookie, name.
Event = tuple[int, int, int, bytes]


class Watch:
    """One instance's interest in one file; ``mask`` are IN_* events and options."""

    __slots__ = ("__weakref__", "_inode", "_pinned", "instance", "mask", "wd")

    def __init__(self, instance: InotifyFile, wd: int, mask: int, inode: Inode) -> None:
        self.instance = instance
        self.wd = wd
        self.mask = mask
        self._inode: ref[Inode] | None = ref(inode, self._gone)
        self._pinned: Inode | None = inode if inode.nlink else None
        if inode.watches is None:
            inode.watches = {}
        inode.watches[instance] = self
        watched.add(id(self))

    def __del__(self) -> None:
        watched.discard(id(self))  # a kernel that was dropped as a whole

    @property
    def inode(self) -> Inode | None:
        return self._inode() if self._inode is not None else None

    @property
    def excludes_unlinked(self) -> bool:
        return bool(self.mask & IN_EXCL_UNLINK)

    def unpin(self) -> None:
        """The file has no name any more: let it go with its last user."""
        self._pinned = None

    def tell(self, mask: int, name: bytes = b"", cookie: int = 0) -> None:
        """One event, with IN_ISDIR if it was about a directory."""
        if not mask & self.mask & IN_ALL_EVENTS:
            return
        if mask & _SELF_EVENTS:
            mask &= ~IN_ISDIR
        self.instance.queue(self.wd, mask, cookie, name)
        if self.mask & IN_ONESHOT:
            self.remove()

    def remove(self) -> None:
        """End it, with IN_IGNORED as its last event."""
        instance, inode = self.instance, self.inode
        if instance.watches.pop(self.wd, None) is None:
            return
        self._inode = self._pinned = None
        self.mask = 0  # it may be on somebody's way to it
        watched.discard(id(self))
        instance.kernel.inotify_watches.give(1)
        if inode is not None and inode.watches is not None:
            inode.watches.pop(instance, None)
            inode.watches = inode.watches or None
        instance.queue(self.wd, IN_IGNORED, 0, b"")

    def _gone(self, _: ref[Inode]) -> None:
        self.tell(IN_DELETE_SELF)
        self.remove()


class InotifyFile(AnonymousFile):
    """An instance: its watches by descriptor, and the events that nobody has read yet."""

    kind = b"inotify"
    can_poll = True
    rwf_read = RWF_HIPRI

    def __init__(self, kernel: Kernel, uid: int, *, nonblocking: bool = False) -> None:
        """EMFILE beyond what ``uid`` may have."""
        super().__init__(O_RDONLY | (O_NONBLOCK if nonblocking else 0))
        instances = kernel.inotify_instances
        if instances.get(uid, 0) >= MAX_USER_INSTANCES:
            raise KernelError(E.EMFILE)
        instances[uid] = instances.get(uid, 0) + 1
        self.kernel = kernel
        self.watches: dict[int, Watch] = {}
        self._uid = uid
        self._last_wd = 0
        self._events: deque[Event] = deque()
        self._overflown = False  # IN_Q_OVERFLOW is among them
        self._bytes = 0  # what read(2) would give for all
        self._charged = 0
        self._queue = WaitQueue()

    def link_text(self) -> bytes:
        return b"anon_inode:inotify"

    # -- watches ----------------------------------------------------------------------------------------------

    def watch(self, inode: Inode, mask: int) -> int:
        """Add a watch or change the one there is; its descriptor. EEXIST with IN_MASK_CREATE, ENOSPC."""
        old = inode.watches.get(self) if inode.watches else None
        if old is not None:
            if mask & IN_MASK_CREATE:
                raise KernelError(E.EEXIST)
            old.mask = mask & _FLAGS | (old.mask if mask & IN_MASK_ADD else 0)
            return old.wd
        self.kernel.inotify_watches.take(1)
        while True:  # cyclic, as Linux counts: a descriptor is not soon used again
            self._last_wd = self._last_wd % 0x7FFFFFFF + 1
            if self._last_wd not in self.watches:
                break
        self.watches[self._last_wd] = Watch(self, self._last_wd, mask & _FLAGS, inode)
        return self._last_wd

    def unwatch(self, wd: int) -> None:
        """EINVAL."""
        watch = self.watches.get(wd)
        if watch is None:
            raise KernelError(E.EINVAL)
        watch.remove()

    # -- events -----------------------------------------------------------------------------------------------

    def queue(self, wd: int, mask: int, cookie: int, name: bytes) -> None:
        """Queue an event."""
        events, budget = self._events, self.kernel.inotify_bytes
        cost = EVENT_COST + len(name)
        if len(events) >= MAX_QUEUED_EVENTS or not budget.fits(cost):
            if self._overflown:
                return
            self._overflown = True
            wd, mask, cookie, name, cost = -1, IN_Q_OVERFLOW, 0, b"", 0
        elif events:
            last = events[-1]
            if last[1] == mask and last[0] == wd and last[3] == name:
                return
        if cost:
            budget.take(cost)
            self._charged += cost
        events.append((wd, mask, cookie, name))
        self._bytes += _size(name)
        self._queue.wake()
        if self.sigio is not None:
            self.sigio.tell(POLL_IN)

    def read(self, size: int) -> bytes:
        """As many whole events as fit; EINVAL if not even one does."""
        events = self._events
        if not events:
            raise WouldBlock
        parts = []
        while events:
            wd, mask, cookie, name = events[0]
            space = _size(name)
            if space > size:
                break
            events.popleft()
            size -= space
            self._bytes -= space
            if mask == IN_Q_OVERFLOW:
                self._overflown = False
            else:
                self._give(EVENT_COST + len(name))
            length = space - INOTIFY_EVENT.size
            parts.append(INOTIFY_EVENT.pack(wd, mask, cookie, length) + name.ljust(length, b"\0"))
        if not parts:
            raise KernelError(E.EINVAL)
        return b"".join(parts)

    def _give(self, cost: int) -> None:
        self.kernel.inotify_bytes.give(cost)
        self._charged -= cost

    def set_async(self, kernel: Kernel, fd: int, *, on: bool) -> bool:
        self._switch_async(kernel, fd, on=on)
        return True

    def seek(self, offset: int, whence: int) -> int:
        if whence > SEEK_END + 2:
            raise KernelError(E.EINVAL)
        return 0

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        if request == FIONREAD:
            task.memory.write(argument, self._bytes.to_bytes(4, "little"))
            return 0
        raise KernelError(E.ENOTTY)

    def poll(self) -> int:
        return POLLIN | POLLRDNORM if self._events else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self._queue,)

    def fdinfo(self) -> bytes:
        lines = []
        for watch in reversed(self.watches.values()):
            inode = watch.inode
            if inode is not None:
                place = inode.ino, inode.filesystem.dev, watch.mask & IN_ALL_EVENTS
                lines.append(b"inotify wd:%x ino:%x sdev:%x mask:%x ignored_mask:0 \n" % (watch.wd, *place))
        return b"".join(lines)

    def release(self) -> None:
        self.sigio = None
        for watch in tuple(self.watches.values()):
            watch.remove()
        self._events.clear()
        self._give(self._charged)
        instances = self.kernel.inotify_instances
        instances[self._uid] -= 1
        if not instances[self._uid]:
            del instances[self._uid]


def _size(name: bytes) -> int:
    """What an event with this name takes when it is read: names are padded, with at least one NUL."""
    header = INOTIFY_EVENT.size
    return header + (len(name) + header & -header if name else 0)
