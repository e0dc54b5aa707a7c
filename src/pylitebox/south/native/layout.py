"""What the stub and this side agree on: numbers and offsets, mirrored from guest/stub.c."""

import struct

#: lseek's first argument in every request of the stub; its low half is a negative descriptor.
REQUEST = 0x7079626F80001B0C
SAFE_POINT = 1
FORWARD = 2
SIGRETURN = 3
MEMORY = 4
HELLO = 5
VFORK = 6
TEMPLATE = 7
FRESH = 8
LOADED = 9
SIGACTION = 10
CLONE_FAILED = 11
DONE = 12
PATCH = 13

STEP_ZERO = 0x10001
STEP_COPY = 0x10002
STEP_ENTER = 0x10003
STEP_END = 0x10004
STEP = struct.Struct("<7Q")
#: The plan's two pages: steps first, with bytes to copy behind them, then an entry ucontext, then struct space.
PLAN_STEPS = 0x1800 // STEP.size
PLAN_CONTEXT = 0x1800
PLAN_SPACE = 0x1F00

BLOCK_SIZE = 0x8000
#: struct block: tid, clone_flags, spare, actions, mask; then its own struct actions, which starts with attention, and a
#: host call to be made: its number, four arguments, whether the outcome is asked for and twice what lent becomes, the
#: sixth argument.
WORD = struct.Struct("<Q")
BLOCK_HEAD = struct.Struct("<QQ")
BLOCK_SPARE = 16
BLOCK_MASK = 32
BLOCK_ACTIONS = 64
ACTION_SIZE = 32
BLOCK_CALL = BLOCK_ACTIONS + 65 * ACTION_SIZE
CALL = struct.Struct("<7Q")
#: Behind it: the struct rlimit64 of such a call.
BLOCK_LIMIT = BLOCK_CALL + CALL.size
LIMIT = struct.Struct("<QQ")
#: Behind that: the guest's descriptor, plus one, that may be mapped without a question; 0: none.
BLOCK_LENT = BLOCK_LIMIT + LIMIT.size
#: Behind that and the host's descriptor for it: the thread's ids, in the order of kernel.platform.Ids.
BLOCK_IDS = BLOCK_LENT + 2 * WORD.size
IDS = struct.Struct("<7Q")
#: struct space: the break, where it starts, how far it may go.
SPACE_LIMIT = 16

#: Host descriptors that a guest process may hold for the moment of a mapping (RLIMIT_NOFILE of the guests).
MAX_FD = 16
#: Where the stub lies: the high word of its addresses, which the filter routes by.
STUB_BASE = 0x600000000000
STUB_END = 0x600100000000
KICK = 23  # SIGURG
