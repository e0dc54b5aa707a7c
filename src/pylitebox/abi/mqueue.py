"""POSIX message queues: limits and structures (linux/mqueue.h, linux/ipc_namespace.h, asm-generic/siginfo.h)."""

import struct

MQ_PRIO_MAX = 32768
DFLT_QUEUESMAX = 256
DFLT_MSG = 10
DFLT_MSGMAX = 10
DFLT_MSGSIZE = 8192
DFLT_MSGSIZEMAX = 8192
#: What a privileged process may ask for.
HARD_MSGMAX = 65536
HARD_MSGSIZEMAX = 16 << 20

MQUEUE_MAGIC = 0x19800202
#: The size that stat(2) of a queue reports.
FILENT_SIZE = 80
#: What a message and a priority in use count for RLIMIT_MSGQUEUE: sizes of kernel structures on x86-64.
MSG_MSG_SIZE = 48
TREE_NODE_SIZE = 48

SIGEV_SIGNAL = 0
SIGEV_NONE = 1
SIGEV_THREAD = 2
NOTIFY_COOKIE_LEN = 32
#: What the last byte of a cookie becomes.
NOTIFY_WOKENUP = 1
NOTIFY_REMOVED = 2

#: struct mq_attr: flags, maxmsg, msgsize, curmsgs, (reserved).
MQ_ATTR = struct.Struct("<4q32x")
#: struct sigevent: value, signo, notify, and what depends on it.
SIGEVENT = struct.Struct("<Qii48x")
