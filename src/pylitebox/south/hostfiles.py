"""Host directory trees through directory descriptors: HostDirectory and HostFile for POSIX hosts.

Each name given to the host is one component beneath a directory descriptor, and no call follows a symbolic link, so
no path that a guest makes up can lead out of the tree. A tree is one file system: what is mounted inside it is not
there (ENOENT), by the mount table at the start and by the device number ever after.

Directory descriptors are O_PATH and kept in a small least-recently-used set; a directory that is opened again is
checked to be the same one (ESTALE). File reads never wait for a disk: RWF_NOWAIT where the file system knows it, and a
worker thread where the data is not in memory; without workers, or on a file system that cannot tell, a read may wait.
Missing: a host where files and directories of one file system report different devices (some overlay mounts) hides
those files.
"""

from __future__ import annotations

import errno
import os
import queue
import stat as stat_module
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import RENAME_EXCHANGE, RENAME_NOREPLACE
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue
from pylitebox.south.descriptors import for_a_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from pylitebox.kernel.platform import HostedPlatform

#: Directory descriptors kept open per tree.
MAX_OPEN_DIRECTORIES = 128
#: Bytes of one read at the most.
MAX_READ = 64 << 20
#: Results of worker reads that a file keeps until they are asked for.
MAX_RESULTS = 8
_PAGE = 4096

_O_PATH = getattr(os, "O_PATH", os.O_RDONLY)
_DIRECTORY = _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
#: What open(2) says of a symbolic link, of a socket or a FIFO without readers, and of a directory.
_NOT_A_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


def translated(error: OSError | ValueError) -> KernelError:
    """The host's error with Linux's number, whatever the host's numbers are."""
    if isinstance(error, ValueError):  # a NUL byte in a name
        return KernelError(E.EINVAL)
    number = getattr(E, errno.errorcode.get(error.errno or 0, ""), E.EIO)
    return KernelError(E.ENFILE if number == E.EMFILE else number)


class Workers:
    """Threads that wait for disks. They are started before the process is confined, and end with it."""

    def __init__(self, threads: int = 2) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], Callable[[], None]]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in range(threads):
            threading.Thread(target=self._work, name=f"disk-{number}", daemon=True).start()

    def attach(self, platform: HostedPlatform) -> None:
        """Deliver what is done through the platform's loop."""
        platform.watch(self._wake_read, self.deliver)

    def descriptors(self) -> list[int]:
        return [self._wake_read, self._wake_write]

    def submit(self, job: Callable[[], Callable[[], None]]) -> None:
        """Run ``job`` in a thread, and then what it returns in the loop."""
        self._jobs.put(job)

    def deliver(self) -> None:
        """Run, in the loop, what finished jobs left to do."""
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                finish = self._done.get_nowait()
            except queue.Empty:
                return
            finish()

    def _work(self) -> None:
        while True:
            self._done.put(self._jobs.get()())
            try:
                os.write(self._wake_write, b"x")
            except BlockingIOError:
                pass  # the loop has plenty of reasons to wake already


class HostTree:
    """What the directories of one tree share."""

    def __init__(self, device: int, mounted: dict[bytes, set[bytes]], workers: Workers | None) -> None:
        self.device = device
        #: Names of mount points inside the tree, by the relative path of their directory.
        self.mounted = mounted
        self.workers = workers
        self.open: OrderedDict[PosixDirectory, None] = OrderedDict()
        self.root: PosixDirectory | None = None

    def descriptors(self) -> list[int]:
        """The directories that are open now."""
        directories = [*self.open, *([self.root] if self.root is not None else [])]
        return [directory.fileno() for directory in directories]

    def opened(self, directory: PosixDirectory) -> None:
        """A directory has got a descriptor: the one longest unused loses its own."""
        self.open[directory] = None
        if len(self.open) > MAX_OPEN_DIRECTORIES:
            oldest, _ = self.open.popitem(last=False)
            oldest.forget()


def open_tree(path: str | os.PathLike[str], workers: Workers | None = None) -> PosixDirectory:
    """The host directory ``path`` (links in it are followed: the user chose it); KernelError."""
    real = os.path.realpath(os.fsencode(path))
    try:
        fd = os.open(real, _O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise translated(error) from error
    status = os.fstat(fd)
    tree = HostTree(status.st_dev, _mount_points(real), workers)
    tree.root = PosixDirectory(tree, None, b"", b"", status.st_ino, fd)
    return tree.root


def _mount_points(root: bytes) -> dict[bytes, set[bytes]]:
    """The mount points beneath a directory: relative directory -> names (man 5 proc_pid_mountinfo)."""
    found: dict[bytes, set[bytes]] = {}
    prefix = root.rstrip(b"/") + b"/"
    try:
        with open("/proc/self/mountinfo", "rb") as table:
            lines = table.read().splitlines()
    except OSError:
        return found
    for line in lines:
        point = line.split(b" ")[4]
        for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
            point = point.replace(code, char)
        if point.startswith(prefix) and point != prefix:
            directory, _, name = point[len(prefix) :].rpartition(b"/")
            found.setdefault(directory, set()).add(name)
    return found


class PosixDirectory:
    """One directory. ``path`` is relative to the tree's root."""

    def __init__(
        self, tree: HostTree, parent: PosixDirectory | None, name: bytes, path: bytes, inode: int, fd: int
    ) -> None:
        self.tree = tree
        self.path = path
        self._parent = parent
        self._name = name
        self._inode = inode
        self._fd = fd
        self._hidden: AbstractSet[bytes] = tree.mounted.get(path, frozenset())
        if parent is not None:
            tree.opened(self)

    def fileno(self) -> int:
        """The O_PATH descriptor; ESTALE if the directory is not where it was."""
        fd = self._fd
        if fd >= 0:
            if self._parent is not None:
                self.tree.open.move_to_end(self)
            return fd
        if self._parent is None:
            raise KernelError(E.EBADF)
        try:
            fd = os.open(self._name, _DIRECTORY, dir_fd=self._parent.fileno())
        except OSError as error:
            raise KernelError(E.ESTALE) from error
        status = os.fstat(fd)
        if status.st_ino != self._inode or status.st_dev != self.tree.device:
            os.close(fd)
            raise KernelError(E.ESTALE)
        self._fd = fd
        self.tree.opened(self)
        return fd

    def forget(self) -> None:
        """Close the descriptor; it is opened again when it is needed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def moved(self, parent: PosixDirectory, name: bytes) -> None:
        """The directory was renamed."""
        self._parent = parent
        self._name = name

    def close(self) -> None:
        """Give back the descriptor; the root's end is that of the whole tree."""
        if self._parent is None:
            while self.tree.open:
                self.tree.open.popitem()[0].forget()
        self.tree.open.pop(self, None)
        self.forget()

    def __del__(self) -> None:
        self.forget()

    def _check(self, name: bytes) -> None:
        if b"/" in name or name in (b"", b".", b"..") or name in self._hidden:
            raise KernelError(E.ENOENT)

    # -- reading ----------------------------------------------------------------------------------------------

    def stat(self, name: bytes) -> os.stat_result:
        self._check(name)
        try:
            status = os.stat(name, dir_fd=self._fd if self._fd >= 0 else self.fileno(), follow_symlinks=False)
        except (OSError, ValueError) as error:
            raise translated(error) from None
        if status.st_dev != self.tree.device:
            raise KernelError(E.ENOENT)
        return status

    def stat_self(self) -> os.stat_result:
        return os.fstat(self.fileno())

    def readlink(self, name: bytes) -> bytes:
        self._check(name)
        try:
            return os.readlink(name, dir_fd=self.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error

    def listdir(self) -> list[tuple[bytes, int, int]]:
        try:
            fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fileno())
            try:
                with os.scandir(fd) as entries:
                    return [
                        (name, entry.inode(), _dtype(entry))
                        for entry in entries
                        if (name := os.fsencode(entry.name)) not in self._hidden
                    ]
            finally:
                os.close(fd)
        except OSError as error:
            raise translated(error) from error

    def directory(self, name: bytes) -> PosixDirectory:
        self._check(name)
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=self.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error
        status = os.fstat(fd)
        if status.st_dev != self.tree.device:
            os.close(fd)
            raise KernelError(E.ENOENT)
        path = self.path + b"/" + name if self.path else name
        return PosixDirectory(self.tree, self, name, path, status.st_ino, fd)

    def open(self, name: bytes, *, write: bool = False) -> PosixFile:
        self._check(name)
        return self._open(name, _FILE | (os.O_RDWR if write else os.O_RDONLY), 0, write=write)

    def _open(self, name: bytes, flags: int, mode: int, *, write: bool) -> PosixFile:
        try:
            fd = for_a_file(os.open(name, flags, mode, dir_fd=self.fileno()))
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _NOT_A_FILE:
                raise KernelError(E.EACCES) from error
            raise translated(error) from error
        status = os.fstat(fd)
        if not stat_module.S_ISREG(status.st_mode) or status.st_dev != self.tree.device:
            os.close(fd)
            raise KernelError(E.EACCES)
        return PosixFile(fd, (status.st_dev, status.st_ino), self.tree.workers, write=write)

    # -- writing ----------------------------------------------------------------------------------------------

    def create(self, name: bytes, mode: int) -> PosixFile:
        self._check(name)
        file = self._open(name, _FILE | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, write=True)
        try:
            os.fchmod(file.fileno(), mode & 0o777)
        except OSError as error:
            file.close()
            raise translated(error) from error
        return file

    def mkdir(self, name: bytes, mode: int) -> None:
        self._check(name)
        try:
            os.mkdir(name, 0o700, dir_fd=self.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error
        self.chmod(name, mode)

    def symlink(self, target: bytes, name: bytes) -> None:
        self._check(name)
        try:
            os.symlink(target, name, dir_fd=self.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error

    def link(self, name: bytes, directory: PosixDirectory, new_name: bytes) -> None:
        self._check(name)
        directory._check(new_name)
        try:
            os.link(
                name, new_name, src_dir_fd=self.fileno(), dst_dir_fd=directory.fileno(), follow_symlinks=False
            )
        except (OSError, ValueError) as error:
            raise translated(error) from error

    def unlink(self, name: bytes) -> None:
        self._check(name)
        try:
            os.unlink(name, dir_fd=self.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error

    def rmdir(self, name: bytes) -> None:
        self._check(name)
        try:
            os.rmdir(name, dir_fd=self.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error

    def rename(self, name: bytes, directory: PosixDirectory, new_name: bytes, flags: int) -> None:
        """RENAME_NOREPLACE is honoured (the kernel is the tree's only writer it can know of); RENAME_EXCHANGE is
        EINVAL."""
        self._check(name)
        directory._check(new_name)
        if flags & RENAME_EXCHANGE:
            raise KernelError(E.EINVAL)
        try:
            if flags & RENAME_NOREPLACE:
                try:
                    os.stat(new_name, dir_fd=directory.fileno(), follow_symlinks=False)
                except FileNotFoundError:
                    pass
                else:
                    raise KernelError(E.EEXIST)
            os.rename(name, new_name, src_dir_fd=self.fileno(), dst_dir_fd=directory.fileno())
        except (OSError, ValueError) as error:
            raise translated(error) from error

    def chmod(self, name: bytes, mode: int) -> None:
        """Permission bits and the sticky bit; never set-id bits. Not of symbolic links."""
        status = self.stat(name)
        if stat_module.S_ISDIR(status.st_mode):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        elif stat_module.S_ISREG(status.st_mode):
            flags = _FILE | os.O_RDONLY
        else:
            raise KernelError(E.EOPNOTSUPP)
        try:
            fd = os.open(name, flags, dir_fd=self.fileno())
        except PermissionError:
            if not status.st_mode & 0o400:  # ours, but unreadable: there is no way without following links
                raise KernelError(E.EPERM) from None
            raise KernelError(E.EACCES) from None
        except (OSError, ValueError) as error:
            raise translated(error) from error
        try:
            os.fchmod(fd, mode & 0o1777)
        except OSError as error:
            raise translated(error) from error
        finally:
            os.close(fd)

    def utime(self, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        self._check(name)
        try:
            os.utime(name, ns=(atime_ns, mtime_ns), dir_fd=self.fileno(), follow_symlinks=False)
        except (OSError, ValueError, OverflowError) as error:
            if isinstance(error, OverflowError):
                raise KernelError(E.EINVAL) from error
            raise translated(error) from error


def _dtype(entry: os.DirEntry[str]) -> int:
    """The d_type of getdents64(2)."""
    if entry.is_symlink():
        return 10
    if entry.is_dir(follow_symlinks=False):
        return 4
    if entry.is_file(follow_symlinks=False):
        return 8
    return 0


class PosixFile:
    """One open regular file; ``share`` makes handles that are closed one by one."""

    __slots__ = ("_fd", "_handles", "_key", "_pending", "_read_only", "_results", "_workers", "_write", "ready")

    def __init__(self, fd: int, key: tuple[int, int], workers: Workers | None, *, write: bool) -> None:
        self._fd = fd
        self._key = key
        self._read_only = -1
        self._write = write
        self._handles = 1
        self._workers = workers
        self._pending: set[tuple[int, int]] = set()  # size and offset, both here and below
        self._results: OrderedDict[tuple[int, int], bytes | KernelError] = OrderedDict()
        self.ready = WaitQueue()

    def fileno(self) -> int:
        return self._fd

    def descriptor(self, *, write: bool) -> int:
        """A descriptor for a guest's mapping, of exactly this access."""
        if write == self._write:
            return self._fd
        if write:
            raise KernelError(E.EACCES)
        if self._read_only < 0:
            try:
                self._read_only = for_a_file(os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                raise translated(error) from error
        return self._read_only

    def key(self) -> tuple[int, int]:
        return self._key

    def share(self) -> PosixFile:
        self._handles += 1
        return self

    def stat(self) -> os.stat_result:
        return os.fstat(self._fd)

    def read_at(self, size: int, offset: int) -> bytes:
        if size > 1 << 16:
            size = min(size, MAX_READ, max(0, os.fstat(self._fd).st_size - offset))
        if self._results:
            result = self._results.pop((size, offset), None)
            if isinstance(result, KernelError):
                raise result
            if result is not None:
                return result
        try:
            if not _RWF_NOWAIT or self._workers is None:
                return os.pread(self._fd, size, offset)
            buffer = bytearray(size)
            done = os.preadv(self._fd, [buffer], offset, _RWF_NOWAIT)
            if done == size:
                return bytes(buffer)
            # Less is the end of the file, or of what is in memory, which is a page's: but readers of a regular file
            # take a short read for the former.
            if done and (offset + done) % _PAGE == 0 and os.fstat(self._fd).st_size > offset + done:
                raise BlockingIOError
            return bytes(memoryview(buffer)[:done])
        except BlockingIOError:
            self._read_later(size, offset)
            raise WouldBlock from None
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
                self._workers = None
                return self.read_at(size, offset)
            raise translated(error) from error
        except OverflowError:
            raise KernelError(E.EINVAL) from None

    def read_now(self, size: int, offset: int) -> bytes:
        """As `read_at`, and if need be by waiting: for the kernel's own accesses to mapped pages."""
        try:
            return self.read_at(size, offset)
        except WouldBlock:
            pass
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise translated(error) from error

    def _read_later(self, size: int, offset: int) -> None:
        wanted = size, offset
        if wanted in self._pending:
            return
        self._pending.add(wanted)
        self.share()  # the descriptor stays while a thread reads from it
        fd = self._fd

        def job() -> Callable[[], None]:
            result: bytes | KernelError
            try:
                result = os.pread(fd, size, offset)
            except OSError as error:
                result = translated(error)
            return lambda: self._arrived(wanted, result)

        assert self._workers is not None
        self._workers.submit(job)

    def _arrived(self, wanted: tuple[int, int], result: bytes | KernelError) -> None:
        self._pending.discard(wanted)
        self._results[wanted] = result
        if len(self._results) > MAX_RESULTS:
            self._results.popitem(last=False)
        self.ready.wake()
        self.close()

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        self._results.clear()
        try:
            return os.pwrite(self._fd, data, offset)
        except OSError as error:
            raise translated(error) from error
        except OverflowError:
            raise KernelError(E.EFBIG) from None

    def truncate(self, size: int) -> None:
        self._results.clear()
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise translated(error) from error
        except OverflowError:
            raise KernelError(E.EFBIG) from None

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise translated(error) from error

    def close(self) -> None:
        self._handles -= 1
        if self._handles == 0:
            os.close(self._fd)
            if self._read_only >= 0:
                os.close(self._read_only)
            self._fd = self._read_only = -1
