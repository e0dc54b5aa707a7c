"""Guest memory through the host: reads by ``/proc/PID/mem``, writes by ``process_vm_writev``.

The descriptor belongs to one address space and outlives execs of others; it ignores page protections, so what a
guest points at for output is written with process_vm_writev, which honours them. One address space may belong to two
processes (vfork): writes go by the id of one that is alive, and the descriptor is closed when the last is gone.
"""

from __future__ import annotations

import ctypes
import os
import struct

from pylitebox.abi import errno as E
from pylitebox.abi.mman import TASK_SIZE
from pylitebox.kernel.errors import KernelError

# PyDLL: the call is short and does not sleep, so the interpreter lock is kept (half the cost of letting it go).
# Arguments that never change are made once: converting them costs as much as the call.
_process_vm_writev = ctypes.PyDLL(None).process_vm_writev
_process_vm_writev.restype = ctypes.c_long

_STAGE_SIZE = 1 << 18
_stage = bytearray(_STAGE_SIZE)
_stage_view = memoryview(_stage)
_stage_address = ctypes.addressof((ctypes.c_char * _STAGE_SIZE).from_buffer(_stage))
_iovecs = bytearray(32)
_iovecs_address = ctypes.addressof((ctypes.c_char * 32).from_buffer(_iovecs))
_local, _remote = ctypes.c_void_p(_iovecs_address), ctypes.c_void_p(_iovecs_address + 16)
_one, _no_flags = ctypes.c_ulong(1), ctypes.c_ulong(0)
_pack_iovecs = struct.Struct("<QQQQ").pack_into
_pread = os.pread


class NativeMemory:
    """One guest address space."""

    __slots__ = ("_fd", "_pids", "_users", "pid")

    def __init__(self, pid: int) -> None:
        """Open the memory of host process ``pid``; OSError. The caller checks that it is still the one it means."""
        self._fd = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        self.pid = pid
        self._pids = [pid]
        self._users = 1

    def read(self, address: int, size: int) -> bytes:
        try:
            data = _pread(self._fd, size, address)
        except (OSError, OverflowError):
            data = b""
        if len(data) != size:
            raise KernelError(E.EFAULT)
        return data

    def read_some(self, address: int, size: int) -> bytes:
        try:
            data = _pread(self._fd, size, address)
        except (OSError, OverflowError):
            data = b""
        if not data and size:
            raise KernelError(E.EFAULT)
        return data

    def read_cstring(self, address: int, limit: int) -> bytes:
        size = 256
        while True:
            size = min(size, limit)
            try:
                data = _pread(self._fd, size, address)
            except (OSError, OverflowError):
                raise KernelError(E.EFAULT) from None
            end = data.find(0)
            if end >= 0:
                return data[:end]
            if len(data) < size or not data:
                raise KernelError(E.EFAULT)
            if size >= limit:
                raise KernelError(E.ENAMETOOLONG)
            size = limit

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        if size > _STAGE_SIZE:
            view = memoryview(data)
            for start in range(0, size, _STAGE_SIZE):
                self.write(address + start, view[start : start + _STAGE_SIZE])
            return
        if address + size > TASK_SIZE:
            if not size:
                return
            raise KernelError(E.EFAULT)
        _stage_view[:size] = data
        _pack_iovecs(_iovecs, 0, _stage_address, size, address, size)
        if _process_vm_writev(self.pid, _local, _one, _remote, _one, _no_flags) != size:
            raise KernelError(E.EFAULT)

    def poke(self, address: int, data: bytes) -> None:
        """Write to memory of the stub's own, whatever its protection; a thread that vanished meanwhile is no error."""
        try:
            os.pwrite(self._fd, data, address)
        except (OSError, OverflowError):
            raise KernelError(E.EFAULT) from None

    def fileno(self) -> int:
        return self._fd

    def share(self) -> None:
        """A process that shares this memory is about to be made: one :meth:`close` more."""
        self._users += 1

    def join(self, pid: int) -> None:
        """Host process ``pid`` has this memory too."""
        if pid not in self._pids:
            self._pids.append(pid)

    def leave(self, pid: int) -> None:
        """Host process ``pid`` has ended: its id is never used again."""
        self._pids.remove(pid)
        self.pid = self._pids[0] if self._pids else 0  # 0 is no process: EFAULT
        self.close()

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            os.close(self._fd)
