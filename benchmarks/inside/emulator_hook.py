"""The floor of an emulated call: a hook of Unicorn's that does nothing, or with the argument ``registers`` one that
reads what a call is and writes a result."""

import ctypes
import mmap
import sys
from time import perf_counter_ns as now

from pylitebox.south.emulator.engine import Engine
from pylitebox.south.emulator.platform import CALL, RESULT, pack_result, unpack_call

COUNT, CODE, SIZE = 100_000, 0x10000, 16 << 20
left = iter(range(COUNT - 1, -1, -1))


def empty() -> None:
    if not next(left):
        engine.stop()


def registers() -> None:
    engine.read_batch(engine.place, CALL.ids, CALL.places, 9)
    *_, rip, flags = unpack_call(CALL.bytes)
    pack_result(RESULT.bytes, 0, 5, rip, flags)
    engine.write_batch(engine.place, RESULT.ids, RESULT.places, 3)
    empty()


memory = mmap.mmap(-1, SIZE)
memory[CODE : CODE + 4] = b"\x0f\x05\xeb\xfc"  # 1: syscall; jmp 1b
view = ctypes.c_char.from_buffer(memory)
engine = Engine(
    ctypes.addressof(view),
    SIZE,
    syscall=registers if "registers" in sys.argv else empty,
    fill=lambda address, what: address & -4096 | 7,
    trap=lambda number: None,
)
start = now()
engine.start(CODE)
print((now() - start) / COUNT)
