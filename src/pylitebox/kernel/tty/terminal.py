"""One end of a pseudo-terminal (struct tty_struct): its settings, what is on its way to it, and whose it is.

What one end writes goes through its output processing into the other end's ``inbox``, and from there through that
end's line discipline as far as it has room; INBOX bytes wait at most. The master's settings are raw and never change:
what is set through it is set on the slave.

Rules: a signal that a key raises is sent when the operation is over (:meth:`Terminal.settle`), for it may end
processes, the caller's own among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import termios as t
from pylitebox.abi.signal import SI_KERNEL, SIGWINCH
from pylitebox.abi.stat import makedev
from pylitebox.kernel.groups import group_members
from pylitebox.kernel.signals import SigInfo, post_process
from pylitebox.kernel.tty.discipline import LineDiscipline
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.tty.pty import PtyFile

#: Bytes that one end may have written and the other end's discipline not yet taken.
INBOX = 16384
MASTER_MAJOR = 128
SLAVE_MAJOR = 136


def post_group(kernel: Kernel, pgid: int, *signals: int) -> None:
    """kill_pgrp(): the kernel's own signals, to every member of a group; 0 is none."""
    for process in group_members(kernel, pgid) if pgid else ():
        for signo in signals:
            post_process(process, SigInfo(signo, SI_KERNEL))


class Terminal:
    """``link`` is the other end, ``session`` and ``group`` whose controlling terminal it is (0: nobody's)."""

    link: Terminal

    def __init__(self, kernel: Kernel, index: int, *, master: bool) -> None:
        self.kernel = kernel
        self.index = index
        self.master = master
        self.iflag = 0 if master else t.ICRNL | t.IXON
        self.oflag = 0 if master else t.OPOST | t.ONLCR
        self.cflag = t.B38400 | t.CS8 | t.CREAD
        self.lflag = 0
        if not master:
            self.lflag = t.ISIG | t.ICANON | t.ECHO | t.ECHOE | t.ECHOK | t.ECHOCTL | t.ECHOKE | t.IEXTEN
        self.line = 0
        self.cc = t.INIT_C_CC
        self.speeds = (38400, 38400)  # input, output
        self.winsize = bytes(t.WINSIZE.size)
        self.session = 0
        self.group = 0
        self.files: dict[PtyFile, None] = {}  # open file descriptions that were not hung up
        self.opens = 0  # all of them
        self.other_closed = False  # the other end was open, and is no longer
        self.locked = master  # until TIOCSPTLCK: the slave cannot be opened
        self.exclusive = False
        self.stopped = False  # output, by VSTOP or TCOOFF
        self.stopped_by_call = False
        self.packet = False  # of a master: TIOCPKT
        self.packet_status = 0  # of a slave: what its master is to be told
        self.inbox = bytearray()
        self._taking = self._held = False
        self._waking: dict[WaitQueue, None] = {}  # once all is taken
        self.read_queue = WaitQueue()
        self.write_queue = WaitQueue()
        #: (group, signal) that keys have raised; once is enough, since nobody gets them before :meth:`settle`.
        self.due: dict[tuple[int, int], None] = {}
        self.discipline = LineDiscipline(self)

    @property
    def slave(self) -> Terminal:
        """The end with the settings: tty_pair_get_tty()."""
        return self.link if self.master else self

    @property
    def number(self) -> int:
        """The device number."""
        return makedev((MASTER_MAJOR if self.master else SLAVE_MAJOR) + (self.index >> 8), self.index & 0xFF)

    # -- bytes ------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Bytes that can be written now."""
        return 0 if self.stopped else max(0, INBOX - len(self.link.inbox))

    def put(self, data: bytes) -> None:
        """Send bytes to the other end; the caller has looked at :meth:`room`."""
        self.link.inbox += data
        if self._taking:
            self._held = True
        else:
            self.link.take()

    def take(self) -> None:
        """Let the discipline take what has come. The other end sees what it answers when all is taken: until then a key
        that flushes output flushes the echoes too."""
        self._taking = True
        self.discipline.receive(self.inbox)
        self._taking = False
        while self._waking:
            self._waking.popitem()[0].wake()
        if self._held:
            self._held = False
            self.link.take()
        if self.discipline.available():
            self.read_queue.wake()

    def _wake(self, queue: WaitQueue) -> None:
        """Once for all that is taken in one go, since many may look on."""
        if self._taking:
            self._waking[queue] = None
        else:
            queue.wake()

    def drained(self) -> None:
        """Something was read, or thrown away: there is room."""
        if self.inbox:
            self.take()
        self.link.discipline.process_echoes()
        self.link.write_queue.wake()

    def flush_output(self) -> None:
        """tty_driver_flush_buffer(): forget what the other end has not taken."""
        self.link.inbox.clear()
        self._wake(self.write_queue)
        self.tell_packet(t.TIOCPKT_FLUSHWRITE)

    def flush_input(self) -> None:
        self.inbox.clear()
        self.discipline.flush_input()
        self.tell_packet(t.TIOCPKT_FLUSHREAD)
        self.drained()

    # -- flow control -----------------------------------------------------------------------------------------

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.tell_packet(t.TIOCPKT_STOP, t.TIOCPKT_START)

    def start(self) -> None:
        if self.stopped and not self.stopped_by_call:
            self.stopped = False
            self.tell_packet(t.TIOCPKT_START, t.TIOCPKT_STOP)
            self._wake(self.write_queue)

    def tell_packet(self, status: int, instead: int = 0) -> None:
        """Note something for a master in packet mode (man 2 TIOCPKT)."""
        if self.link.packet:
            self.packet_status = self.packet_status & ~instead | status
            self._wake(self.link.read_queue)

    # -- settings ---------------------------------------------------------------------------------------------

    def set_termios(self, flags: tuple[int, int, int, int], line: int, cc: bytes) -> None:
        """``flags``: input, output, control, local."""
        iflag, oflag, cflag, lflag = flags
        old, old_flow, old_lflag = (self.iflag, self.lflag), self._usual_flow, self.lflag
        self.iflag, self.oflag, self.lflag, self.line, self.cc = iflag, oflag, lflag, line, cc
        self.cflag = cflag & ~(t.CSIZE | t.PARENB) | t.CS8 | t.CREAD  # what a pseudo-terminal can
        if old_flow != self._usual_flow:
            both = t.TIOCPKT_DOSTOP | t.TIOCPKT_NOSTOP
            self.tell_packet(t.TIOCPKT_DOSTOP if self._usual_flow else t.TIOCPKT_NOSTOP, both)
        if (old_lflag | lflag) & t.EXTPROC:
            self.tell_packet(t.TIOCPKT_IOCTL)
        self.discipline.settings_changed(old)
        self.take()
        self.read_queue.wake()
        self.write_queue.wake()

    @property
    def _usual_flow(self) -> bool:
        return bool(self.iflag & t.IXON) and (self.cc[t.VSTOP], self.cc[t.VSTART]) == (19, 17)

    def resize(self, winsize: bytes) -> None:
        """Of a slave: both ends have the size, and the foreground groups are told."""
        if winsize == self.winsize:
            return
        self.winsize = self.link.winsize = winsize
        for group in dict.fromkeys((self.group, self.link.group)):
            self.due[group, SIGWINCH] = None

    def settle(self) -> None:
        """Send the signals that are due: the last thing that an operation does."""
        while self.due:
            due, self.due = self.due, {}
            for group, signo in due:
                post_group(self.kernel, group, signo)
