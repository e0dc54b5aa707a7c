"""ioctl(2) of terminals (man 2 ioctl_tty): settings, sizes, flow, sessions, and what is a pseudo-terminal's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ioctl as io
from pylitebox.abi import signal as sg
from pylitebox.abi import termios as t
from pylitebox.kernel.credentials import CAP_SYS_ADMIN
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.tty import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.task import Task
    from pylitebox.kernel.tty.pty import PtyFile
    from pylitebox.kernel.tty.terminal import Terminal

    Handler = Callable[[PtyFile, Task, Terminal, int], int]


def _put(task: Task, address: int, value: int, size: int = 4) -> int:
    task.memory.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
    return 0


def _number(task: Task, address: int) -> int:
    return int.from_bytes(task.memory.read(address, 4), "little", signed=True)


def control(file: PtyFile, task: Task, request: int, argument: int) -> int:
    """One request; ENOTTY for those that a terminal does not know."""
    if file.hung_up:
        raise KernelError(E.ENOTTY if request == io.TIOCSPGRP else E.EIO)
    tty = file.tty
    handler = _REQUESTS.get(request) or (_OF_MASTERS.get(request) if tty.master else None)
    if handler is None:
        raise KernelError(E.ENOTTY)
    try:
        return handler(file, task, tty, argument)
    finally:
        tty.settle()
        tty.link.settle()


# -- settings -----------------------------------------------------------------------------------------------------


def _get_termios(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    s = tty.slave
    task.memory.write(argument, t.TERMIOS.pack(s.iflag, s.oflag, s.cflag, s.lflag, s.line, s.cc))
    return 0


def _get_termios2(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    s = tty.slave
    task.memory.write(argument, t.TERMIOS2.pack(s.iflag, s.oflag, s.cflag, s.lflag, s.line, s.cc, *s.speeds))
    return 0


def _get_termio(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    s = tty.slave
    flags = (flag & 0xFFFF for flag in (s.iflag, s.oflag, s.cflag, s.lflag))
    task.memory.write(argument, t.TERMIO.pack(*flags, s.line, s.cc[:8])[:17])
    return 0


def _set_termios(request: int, task: Task, tty: Terminal, argument: int) -> int:
    s = tty.slave
    jobs.check_change(task, s)
    speeds = s.speeds
    if request in (io.TCSETA, io.TCSETAW, io.TCSETAF):
        *low, line, cc = t.TERMIO.unpack(task.memory.read(argument, t.TERMIO.size))
        flags = [old & ~0xFFFF | new for old, new in zip((s.iflag, s.oflag, s.cflag, s.lflag), low, strict=True)]
        cc += s.cc[8:]
    elif request in (io.TCSETS, io.TCSETSW, io.TCSETSF):
        *flags, line, cc = t.TERMIOS.unpack(task.memory.read(argument, t.TERMIOS.size))
    else:
        *flags, line, cc, i, o = t.TERMIOS2.unpack(task.memory.read(argument, t.TERMIOS2.size))
        speeds = (i, o)
    if request in (io.TCSETSF, io.TCSETSF2, io.TCSETAF):
        s.flush_input()
    s.set_termios((flags[0], flags[1], flags[2], flags[3]), line, cc)
    known = t.speed(s.cflag)
    output = speeds[1] if known is None else known
    given = s.cflag >> t.IBSHIFT & t.CBAUD
    asked = t.speed(given) if given else output
    s.speeds = (speeds[0] if asked is None else asked, output)
    return 0


def _get_size(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    task.memory.write(argument, tty.slave.winsize)
    return 0


def _set_size(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    tty.slave.resize(task.memory.read(argument, t.WINSIZE.size))
    tty.slave.settle()
    return 0


# -- what is under way --------------------------------------------------------------------------------------------


def _input(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, tty.discipline.waiting)


def _output(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, 0)


def _flush(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    jobs.check_change(task, tty)
    if argument not in (t.TCIFLUSH, t.TCOFLUSH, t.TCIOFLUSH):
        raise KernelError(E.EINVAL)
    if argument != t.TCOFLUSH:
        tty.flush_input()
    if argument != t.TCIFLUSH:
        tty.flush_output()
    return 0


def _flow(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    jobs.check_change(task, tty)
    if argument == t.TCOOFF:
        tty.stop()
        tty.stopped_by_call = True
    elif argument == t.TCOON:
        if tty.stopped_by_call:
            tty.stopped_by_call = False
            tty.start()
    elif argument in (t.TCIOFF, t.TCION):
        c = tty.cc[t.VSTOP if argument == t.TCIOFF else t.VSTART]
        if c != t.DISABLED and tty.room():
            tty.put(bytes((c,)))
    else:
        raise KernelError(E.EINVAL)
    return 0


def _break(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    """tcdrain(3) and breaks: what was written has arrived already."""
    jobs.check_change(task, tty)
    return 0


# -- sessions -----------------------------------------------------------------------------------------------------


def _set_controlling(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    jobs.set_controlling(task, tty.slave, readable=file.readable, steal=argument == 1)
    return 0


def _give_up(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    if task.process.tty is not tty:
        raise KernelError(E.ENOTTY)
    jobs.give_up(task.process)
    return 0


def _own(task: Task, tty: Terminal) -> None:
    """ENOTTY for a slave that is not the caller's controlling terminal; a master may always ask."""
    if not tty.master and task.process.tty is not tty:
        raise KernelError(E.ENOTTY)


def _get_group(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    _own(task, tty)
    return _put(task, argument, tty.slave.group)


def _set_group(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    try:
        jobs.check_change(task, tty.slave)
    except KernelError as error:
        raise KernelError(E.ENOTTY if error.errno == E.EIO else error.errno) from None
    jobs.set_foreground(task, tty.slave, _number(task, argument))
    return 0


def _get_session(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    _own(task, tty)
    if not tty.slave.session:
        raise KernelError(E.ENOTTY)
    return _put(task, argument, tty.slave.session)


# -- the rest -----------------------------------------------------------------------------------------------------


def _device(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, tty.slave.number)


def _set_exclusive(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    tty.exclusive = True
    return 0


def _clear_exclusive(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    tty.exclusive = False
    return 0


def _get_exclusive(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, tty.exclusive)


def _get_discipline(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, 0)


def _set_discipline(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    jobs.check_change(task, tty)
    if _number(task, argument):  # N_TTY is the only one
        raise KernelError(E.EINVAL)
    return 0


def _type(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    """TIOCSTI: input is nobody's to forge."""
    if task.process.tty is not tty and not task.cred.capable(CAP_SYS_ADMIN):
        raise KernelError(E.EPERM)
    raise KernelError(E.EIO)


def _hang_up(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    if not task.cred.capable(CAP_SYS_ADMIN):
        raise KernelError(E.EPERM)
    jobs.hang_up(tty)
    return 0


def _index(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, tty.index)


def _set_lock(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    tty.locked = bool(_number(task, argument))
    return 0


def _get_lock(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, tty.locked)


def _peer(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return task.kernel.terminals.open_peer(task, tty, argument & 0xFFFFFFFF)


def _set_packet(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    on = bool(_number(task, argument))
    if on and not tty.packet:
        tty.link.packet_status = 0
    tty.packet = on
    return 0


def _get_packet(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    return _put(task, argument, tty.packet)


def _signal(file: PtyFile, task: Task, tty: Terminal, argument: int) -> int:
    if argument not in (sg.SIGINT, sg.SIGQUIT, sg.SIGTSTP):
        raise KernelError(E.EINVAL)
    tty.link.due[tty.link.group, argument] = None
    return 0


def _setter(request: int) -> Handler:
    return lambda file, task, tty, argument: _set_termios(request, task, tty, argument)


_SETTERS = (
    io.TCSETS, io.TCSETSW, io.TCSETSF, io.TCSETS2, io.TCSETSW2, io.TCSETSF2, io.TCSETA, io.TCSETAW, io.TCSETAF,
)  # fmt: skip
_REQUESTS: dict[int, Handler] = {
    io.TCGETS: _get_termios,
    io.TCGETS2: _get_termios2,
    io.TCGETA: _get_termio,
    **{request: _setter(request) for request in _SETTERS},
    io.TIOCGWINSZ: _get_size,
    io.TIOCSWINSZ: _set_size,
    io.FIONREAD: _input,
    io.TIOCOUTQ: _output,
    io.TCFLSH: _flush,
    io.TCXONC: _flow,
    io.TCSBRK: _break,
    io.TCSBRKP: _break,
    io.TIOCSBRK: _break,
    io.TIOCCBRK: _break,
    io.TIOCSCTTY: _set_controlling,
    io.TIOCNOTTY: _give_up,
    io.TIOCGPGRP: _get_group,
    io.TIOCSPGRP: _set_group,
    io.TIOCGSID: _get_session,
    io.TIOCGDEV: _device,
    io.TIOCEXCL: _set_exclusive,
    io.TIOCNXCL: _clear_exclusive,
    io.TIOCGEXCL: _get_exclusive,
    io.TIOCGETD: _get_discipline,
    io.TIOCSETD: _set_discipline,
    io.TIOCSTI: _type,
    io.TIOCVHANGUP: _hang_up,
}
_OF_MASTERS: dict[int, Handler] = {
    io.TIOCGPTN: _index,
    io.TIOCSPTLCK: _set_lock,
    io.TIOCGPTLCK: _get_lock,
    io.TIOCGPTPEER: _peer,
    io.TIOCPKT: _set_packet,
    io.TIOCGPKT: _get_packet,
    io.TIOCSIG: _signal,
}
