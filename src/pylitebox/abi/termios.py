"""Terminal settings (man 3 termios, asm-generic/termbits.h) and packet mode (man 2 TIOCPKT)."""

import struct

#: struct termios as the kernel has it: iflag oflag cflag lflag line cc[19]; termios2 adds the two speeds.
TERMIOS = struct.Struct("<IIIIB19s")
TERMIOS2 = struct.Struct("<IIIIB19sII")
#: struct termio (System V): the low halves of the flags, line, cc[8].
TERMIO = struct.Struct("<HHHHB8sx")
#: struct winsize: rows, columns, x pixels, y pixels.
WINSIZE = struct.Struct("<HHHH")

VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC, VSTART, VSTOP, VSUSP = range(11)
VEOL, VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2 = range(11, 17)
#: ^C ^\ DEL ^U ^D, no time, one byte, ^Q ^S ^Z ^R ^O ^W ^V.
INIT_C_CC = bytes((3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0))
#: A character that is none (_POSIX_VDISABLE).
DISABLED = 0

IGNBRK, BRKINT, IGNPAR, PARMRK, INPCK, ISTRIP, INLCR, IGNCR = (1 << n for n in range(8))
ICRNL, IUCLC, IXON, IXANY, IXOFF, IMAXBEL, IUTF8 = (1 << n for n in range(8, 15))

OPOST, OLCUC, ONLCR, OCRNL, ONOCR, ONLRET = (1 << n for n in range(6))
TABDLY = XTABS = 0o14000

CBAUD = 0o10017
BOTHER = 0o10000
IBSHIFT = 16
CSIZE = 0o60
CS8 = 0o60
CREAD = 0o200
PARENB = 0o400
B38400 = 0o17

ISIG, ICANON, XCASE, ECHO, ECHOE, ECHOK, ECHONL, NOFLSH, TOSTOP = (1 << n for n in range(9))
ECHOCTL, ECHOPRT, ECHOKE = 0o1000, 0o2000, 0o4000
IEXTEN, EXTPROC = 0o100000, 0o200000

#: Line speeds by their number in c_cflag; those of BOTHER's range count from 16 (1 for 57600).
_SPEEDS = (0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400)
_FAST = (
    0, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000,
    3500000, 4000000,
)  # fmt: skip


def speed(cbaud: int) -> int | None:
    """Bits a second; None for BOTHER, whose speed is said elsewhere."""
    cbaud &= CBAUD
    if cbaud == BOTHER:
        return None
    return _FAST[cbaud & 15] if cbaud & BOTHER else _SPEEDS[cbaud]


TCIFLUSH, TCOFLUSH, TCIOFLUSH = range(3)
TCOOFF, TCOON, TCIOFF, TCION = range(4)

TIOCPKT_DATA = 0
TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHWRITE, TIOCPKT_STOP, TIOCPKT_START, TIOCPKT_NOSTOP, TIOCPKT_DOSTOP, TIOCPKT_IOCTL = (
    1 << n for n in range(7)
)
