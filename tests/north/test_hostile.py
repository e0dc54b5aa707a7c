"""Arguments that no sane program passes: every call of the file families answers with a result or an errno."""

import random

import pytest

from pylitebox.abi.numbers import X86_64
from pylitebox.north.linux import support
from tests.north.bench import Bench

FAMILIES = {"files", "opening", "storage", "descriptors", "metadata", "directories", "xattrs", "memory", "transfer"}
NAMES = sorted(row.name for row in support.rows() if row.family in FAMILIES and row.x86_64 is not None)
NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 16, 255, 4095, 4096, 65536, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 47]
NUMBERS += [(1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 100, (1 << 64) - 4096, 0o102, 0o20200002, 0o10000000]


@pytest.mark.parametrize("name", NAMES)
def test_any_registers(name):
    generator = random.Random(name)
    bench = Bench()
    g = bench.guest()
    for setup in range(2):
        g("open", f"/f{setup}", 0o102, 0o644)
    g("mkdir", "/d", 0o755)
    g("open", "/d", 0o200000, 0)
    g("pipe2", bytearray(8), 0o4000)
    strings = [g.place(text + b"\0") for text in (b"/f0", b"/d", b"..", b"", b"/new", b"user.x", b"\xff" * 5000)]
    words = [g.place(generator.randbytes(256)) for _ in range(4)] + [g.place(bytes(256)), g.hole() + 4090]
    for _ in range(300):
        args = [generator.choice(generator.choice((NUMBERS, NUMBERS, strings, words, range(8)))) for _ in range(6)]
        result = bench.personality.syscall(g.task, X86_64[name], tuple(args))
        bench.platform.time_ns += 1
        if result is None:
            bench.run()
            if g.parked:
                bench.kernel.scheduler.cancel(g.task)
            g.thread.results.clear()
        else:
            assert result >= -4095
        assert bench.kernel.internal_errors == 0
        assert g.task.process.state == "running"
    bench.run()
