"""The mock platform, with scripts for guests: each is a CPU that reads its instructions from guest memory (cpu.py).

So the registers of the contract are the guest's, but for rip, in whose place the mock keeps where a script stands.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from pylitebox.abi.mman import PROT_EXEC
from pylitebox.abi.signal import SEGV_ACCERR, SIGSEGV
from pylitebox.south.mock.guest import Call, Guest
from pylitebox.south.mock.host import MockStream
from pylitebox.south.mock.layer import Layer
from pylitebox.south.mock.platform import MockPlatform
from tests.south.conformance import cpu
from tests.south.conformance.assembler import CLONE, FORK, SIGRETURN, VFORK
from tests.south.conformance.cpu import RIP, SI_KERNEL, Trap
from tests.south.conformance.subject import Subject

_RAX, _ARGUMENTS = 13, (8, 9, 12, 2, 0, 1)
#: Instructions between two safe points.
_BURST = 50


class _Script:
    """The CPU's state and memory: those of a scripted thread."""

    def __init__(self, thread: Any) -> None:
        self._thread = thread
        self.xmm0 = 0

    @property
    def gregs(self) -> list[int]:
        return self._thread.context.gregs  # type: ignore[no-any-return]

    @property
    def fs_base(self) -> int:
        return int(self._thread.fs_base)

    def fetch(self, address: int, size: int) -> bytes:
        self._may(address, 1, write=False)
        if not any(area.start <= address < area.end and area.prot & PROT_EXEC for area in self._thread.memory.areas()):
            raise Trap(SIGSEGV, SEGV_ACCERR, address)
        return self._thread.memory.read_some(address, size).ljust(size, b"\0")  # type: ignore[no-any-return]

    def load(self, address: int) -> int:
        self._may(address, 8, write=False)
        return int.from_bytes(self._thread.memory.read(address, 8), "little")

    def store(self, address: int, value: int) -> None:
        self._may(address, 8, write=True)
        self._thread.memory.write(address, value.to_bytes(8, "little"))

    def _may(self, address: int, size: int, *, write: bool) -> None:
        if address >> 47 and address >> 47 != 0x1FFFF:
            raise Trap(SIGSEGV, SI_KERNEL, 0)
        for place in (address, (address + size - 1) & -4096) if address % 4096 > 4096 - size else (address,):
            fault = self._thread.memory.fault(place, write=write)
            if fault is not None:
                raise Trap(fault[0], fault[1], place)


def _execute(g: Guest, pc: int) -> Generator[object, int, int]:
    """The script of a program or a handler whose first instruction is at ``pc``."""
    state = _Script(g._thread)
    while True:
        state.gregs[RIP] = pc
        called, trap = False, None
        try:
            for _ in range(_BURST):
                called = cpu.step(state, state)
                if called:
                    break
        except Trap as raised:
            trap = raised
        pc = state.gregs[RIP]
        if trap is not None:
            yield g.crash(trap.signo, trap.address, trap.code)
        elif not called:
            yield g.pause_turn()
        else:
            number = state.gregs[_RAX] & 0xFFFFFFFF
            if number == SIGRETURN:
                return 0
            call = Call(f"call_{number}", number, [state.gregs[register] for register in _ARGUMENTS])
            if number in (CLONE, FORK, VFORK):
                call.child = _function(pc)
            yield call


def _function(pc: int) -> Any:
    return lambda g, *signal: _execute(g, pc)


class MockStreams:
    """Streams of the test's own."""

    def __init__(self) -> None:
        self.input, self.output = MockStream(), MockStream(capacity=1 << 16)
        self.input.open_input()
        self.feed, self.end, self.hang_up = self.input.feed, self.input.end, self.output.hang_up

    def taken(self) -> bytes:
        data = bytes(self.output.output)
        self.output.output.clear()
        self.output.drain()
        return data

    def close(self) -> None:
        self.input.close()
        self.output.close()


class Mock(Subject):
    name = "mock"
    lacks: Mapping[str, str] = {
        "rip": "in its place is where a script stands",
        "extended state": "scripts have none",
        "rcx": "a call's result is all that a script sees of its registers",
    }
    cannot: Mapping[str, str] = {
        "descriptors": "nothing outside of the test is waited for",
        "strike": "guests are no processes of the host",
        "little memory": "its memory has no bound",
        "slow sources": "only its own host files wait, and what waits is a call",
        "sigreturn without a frame": "scripts return from handlers alone",
        "own memory calls": "scripts map pages by the test's own means",
        "cpu time": "no time passes while a script computes",
    }

    def __init__(self, name: str = "mock", *, delegates: bool = False) -> None:
        self.name = name
        self._delegates = delegates
        if delegates:
            self.cannot = {**self.cannot, "foreign files": "it maps its own host files and buffers alone"}

    def make(self, *, memory: int | None = None) -> Any:
        return MockPlatform(delegates_memory=self._delegates)

    def start(self, platform: Any) -> None:
        """It has no start."""

    def streams(self, platform: Any) -> MockStreams:
        return MockStreams()

    def enterable(self, platform: Any, addresses: Iterable[int]) -> None:
        for address in addresses:
            if platform.function(address) is None:
                platform.code(_function(address), at=address)


class Layered(Mock):
    """A layer that does nothing changes nothing."""

    def make(self, *, memory: int | None = None) -> Any:
        return Layer(MockPlatform())


SUBJECTS = [Mock(), Mock("mock-delegating", delegates=True), Layered("mock-layered")]
