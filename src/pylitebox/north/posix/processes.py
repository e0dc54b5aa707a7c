"""Ids, other processes of the kernel, and the system."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.wait import returncode
from pylitebox.kernel.credentials import NGROUPS_MAX
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls, Room
from pylitebox.north.posix.results import uname_result

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELD = 65  # of struct utsname
_MOST = 1 << 20


class Processes(Calls):
    # -- ids --------------------------------------------------------------------------------------------------

    def getpid(self) -> int:
        return self._call("getpid")

    def getppid(self) -> int:
        return self._call("getppid")

    def getpgid(self, pid: int) -> int:
        return self._call("getpgid", arg.c_int(pid))

    def getpgrp(self) -> int:
        return self._call("getpgrp")

    def setpgid(self, pid: int, pgrp: int, /) -> None:
        self._call("setpgid", arg.c_int(pid), arg.c_int(pgrp))

    def getsid(self, pid: int, /) -> int:
        return self._call("getsid", arg.c_int(pid))

    def setsid(self) -> None:
        self._call("setsid")

    def getuid(self) -> int:
        return self._call("getuid")

    def geteuid(self) -> int:
        return self._call("geteuid")

    def getgid(self) -> int:
        return self._call("getgid")

    def getegid(self) -> int:
        return self._call("getegid")

    def getresuid(self) -> tuple[int, int, int]:
        return self._three("getresuid")

    def getresgid(self) -> tuple[int, int, int]:
        return self._three("getresgid")

    def _three(self, name: str) -> tuple[int, int, int]:
        ids = [bytearray(4) for _ in range(3)]
        self._call(name, *ids)
        first, second, third = (int.from_bytes(raw, "little") for raw in ids)
        return first, second, third

    def setuid(self, uid: int, /) -> None:
        self._call("setuid", arg.ident(uid))

    def setgid(self, gid: int, /) -> None:
        self._call("setgid", arg.ident(gid))

    def seteuid(self, euid: int, /) -> None:
        self._call("setresuid", -1, arg.ident(euid), -1)

    def setegid(self, egid: int, /) -> None:
        self._call("setresgid", -1, arg.ident(egid), -1)

    def setreuid(self, ruid: int, euid: int, /) -> None:
        self._call("setreuid", arg.ident(ruid), arg.ident(euid))

    def setregid(self, rgid: int, egid: int, /) -> None:
        self._call("setregid", arg.ident(rgid), arg.ident(egid))

    def setresuid(self, ruid: int, euid: int, suid: int, /) -> None:
        self._call("setresuid", arg.ident(ruid), arg.ident(euid), arg.ident(suid))

    def setresgid(self, rgid: int, egid: int, sgid: int, /) -> None:
        self._call("setresgid", arg.ident(rgid), arg.ident(egid), arg.ident(sgid))

    def getgroups(self) -> list[int]:
        raw = bytearray(4 * NGROUPS_MAX)
        count = self._call("getgroups", NGROUPS_MAX, raw)
        return list(struct.unpack_from(f"<{count}I", raw))

    def setgroups(self, groups: Sequence[int], /) -> None:
        raw = bytearray(struct.pack(f"<{len(groups)}I", *(arg.ident(gid) for gid in groups)))
        self._call("setgroups", len(groups), raw)

    # -- other processes --------------------------------------------------------------------------------------

    def _exit(self, status: int) -> None:
        """End this process of the kernel (not Python): its descriptors are closed, calls fail from now on."""
        self._call("exit_group", arg.c_int(status))

    def waitpid(self, pid: int, options: int, /) -> tuple[int, int]:
        """(process id, wait status) of a child that has ended."""
        raw = bytearray(4)
        found = self._call("wait4", arg.c_int(pid), raw, arg.c_int(options), None)
        return found, int.from_bytes(raw, "little")

    def wait(self) -> tuple[int, int]:
        return self.waitpid(-1, 0)

    def waitstatus_to_exitcode(self, status: int) -> int:
        if status & 0xFF == 0x7F:
            raise ValueError(f"process stopped by delivery of signal {status >> 8}")
        return returncode(status)

    def kill(self, pid: int, signal: int, /) -> None:
        self._call("kill", arg.c_int(pid), arg.c_int(signal))

    def killpg(self, pgid: int, signal: int, /) -> None:
        self._call("kill", -arg.c_int(pgid), arg.c_int(signal))

    # -- the system -------------------------------------------------------------------------------------------

    def uname(self) -> uname_result:
        raw = bytearray(6 * _FIELD)
        self._call("uname", raw)
        fields = (bytes(raw[i * _FIELD : (i + 1) * _FIELD]).partition(b"\0")[0].decode() for i in range(5))
        return uname_result(*fields)

    def cpu_count(self) -> int:
        return self._program.task.kernel.platform.cpu_count()

    def getrandom(self, size: int, flags: int = 0) -> bytes:
        if size < 0:
            raise self._failure(E.EINVAL)
        room = Room(size)
        self._call("getrandom", room, size, arg.c_int(flags))
        return bytes(room.data)

    def urandom(self, size: int, /) -> bytes:
        if size < 0:
            raise ValueError("negative argument not allowed")
        parts = [self.getrandom(min(_MOST, size - done)) for done in range(0, size, _MOST)]
        return b"".join(parts)

    # -- texts ------------------------------------------------------------------------------------------------

    fspath = staticmethod(arg.fspath)

    def fsencode(self, filename: object) -> bytes:
        return arg.encode(arg.fspath(filename))

    def fsdecode(self, filename: object) -> str:
        text = arg.fspath(filename)
        return arg.decode(text) if isinstance(text, bytes) else text
