"""ioctl(2) requests (asm-generic/ioctls.h, linux/fs.h, linux/pidfd.h)."""

import struct

TCGETS = 0x5401
TCSETS = 0x5402
TCSETSW = 0x5403
TCSETSF = 0x5404
TCSBRK = 0x5409
TCFLSH = 0x540B
TIOCSCTTY = 0x540E
TIOCGPGRP = 0x540F
TIOCSPGRP = 0x5410
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414
FIONREAD = 0x541B
FIONBIO = 0x5421
TIOCNOTTY = 0x5422
TIOCGSID = 0x5429
FIONCLEX = 0x5450
FIOCLEX = 0x5451
FIOASYNC = 0x5452
FS_IOC_GETFLAGS = 0x80086601
FICLONE = 0x40049409
FICLONERANGE = 0x4020940D

#: struct termios as the kernel has it: iflag oflag cflag lflag line cc[19].
TERMIOS = struct.Struct("<IIIIB19s")
#: struct winsize: rows, columns, x pixels, y pixels.
WINSIZE = struct.Struct("<HHHH")
