"""poll(2) and epoll(7) events (asm-generic/poll.h, linux/eventpoll.h)."""

import struct

POLLIN = 0x001
POLLPRI = 0x002
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020
POLLRDNORM = 0x040
POLLRDBAND = 0x080
POLLWRNORM = 0x100
POLLWRBAND = 0x200
POLLRDHUP = 0x2000

EPOLLEXCLUSIVE = 1 << 28
EPOLLWAKEUP = 1 << 29
EPOLLONESHOT = 1 << 30
EPOLLET = 1 << 31
EPOLL_CTL_ADD = 1
EPOLL_CTL_DEL = 2
EPOLL_CTL_MOD = 3
EPOLL_CLOEXEC = 0o2000000

#: struct pollfd: fd, events, revents.
POLLFD = struct.Struct("<iHH")
#: struct epoll_event, packed on x86-64: events, data.
EPOLL_EVENT_X86_64 = struct.Struct("<IQ")
