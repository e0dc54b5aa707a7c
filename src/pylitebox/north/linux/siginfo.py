"""siginfo_t as guests see it (asm-generic/siginfo.h): 128 bytes, a union chosen by signal and code."""

import struct

from pylitebox.abi import signal as sg
from pylitebox.kernel.signals import SigInfo

_HEAD = struct.Struct("<iii4x")
_KILL = struct.Struct("<iiiiiIQ")  # head, pid, uid, value
_CHILD = struct.Struct("<iiiiiIi4xqq")  # head, pid, uid, status, utime, stime
_FAULT = struct.Struct("<iiiiQ")  # head, addr
_TIMER = struct.Struct("<iiiiiiQ")  # head, timer, overrun, value


def pack(info: SigInfo) -> bytes:
    """The 128 bytes of a signal's siginfo."""
    signo, code = info.signo, info.code
    if info.raw:
        data = signo.to_bytes(4, "little") + info.raw[4:]
    elif code == sg.SI_TIMER:
        data = _TIMER.pack(signo, 0, code, 0, info.timer, info.overrun, info.value)
    elif signo == sg.SIGCHLD and code > 0 and code != sg.SI_KERNEL:
        data = _CHILD.pack(signo, 0, code, 0, info.pid, info.uid, info.status, info.utime, info.stime)
    elif signo in sg.SYNCHRONOUS and 0 < code != sg.SI_KERNEL:
        data = _FAULT.pack(signo, 0, code, 0, info.addr)
    else:
        data = _KILL.pack(signo, 0, code, 0, info.pid, info.uid, info.value)
    return data.ljust(sg.SIGINFO_SIZE, b"\0")


def unpack(data: bytes) -> SigInfo:
    """A siginfo that a guest gave to rt_sigqueueinfo(2); it is passed on as it is."""
    signo, _, code = _HEAD.unpack_from(data)
    pid, uid, value = struct.unpack_from("<iIQ", data, 16)
    return SigInfo(signo, code, pid, uid, value=value, raw=data)
