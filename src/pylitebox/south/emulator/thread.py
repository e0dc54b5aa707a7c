"""Guest threads as the emulator holds them: the registers of one that isn't in the CPU are in its ``state``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.south.emulator import engine as e
from pylitebox.south.emulator.engine import Registers
from pylitebox.south.turns import TurnThread

if TYPE_CHECKING:
    from pylitebox.south.emulator.platform import EmulatorPlatform
    from pylitebox.south.paging import PagedSpace
    from pylitebox.south.turns import TurnProcess

_MASK = (1 << 64) - 1
_RAX = Registers(e.RAX)
_FS, _GS = Registers(e.FS_BASE), Registers(e.GS_BASE)
_ENTRY = Registers(e.RIP, e.RSP)
_CHILD = Registers(e.RAX, e.RIP, e.RCX, e.R11)
_STACK = Registers(e.RSP)


class EmulatorThread(TurnThread):
    """ManagedThread of the contract."""

    __slots__ = ("rip", "state")

    platform: EmulatorPlatform

    def __init__(self, platform: EmulatorPlatform, process: TurnProcess, space: PagedSpace) -> None:
        super().__init__(platform, process, space)
        self.state = platform.new_state()
        self.rip = 0  # behind the instruction of the call that it is in

    # -- what each platform adds ------------------------------------------------------------------------------

    def enter(self, entry: int, stack_pointer: int) -> None:
        _ENTRY.words[:2] = [entry, stack_pointer]
        self.platform.engine.write_saved(self.state, _ENTRY)

    def returns(self, result: int) -> None:
        self._set(_RAX, result & _MASK)

    def copy(self, process: TurnProcess, space: PagedSpace) -> EmulatorThread:
        engine = self.platform.engine
        thread = EmulatorThread(self.platform, process, space)
        engine.save(thread.state)  # this thread's own registers, in the middle of its call
        _CHILD.words[:4] = [0, self.rip, self.rip, engine.read(e.RFLAGS)]
        engine.write_saved(thread.state, _CHILD)
        return thread

    def stack_pointer(self) -> int:
        return self._get(_STACK)

    def set_stack_pointer(self, value: int) -> None:
        self._set(_STACK, value)

    @property
    def fs_base(self) -> int:
        return self._get(_FS)

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self._set(_FS, value)

    @property
    def gs_base(self) -> int:
        return self._get(_GS)

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self._set(_GS, value)

    # -- registers --------------------------------------------------------------------------------------------

    def _get(self, register: Registers) -> int:
        engine = self.platform.engine
        if self.platform.current is self:
            engine.read_batch(engine.place, register.ids, register.places, 1)
        else:
            engine.read_saved(self.state, register)
        return register.words[0]

    def _set(self, register: Registers, value: int) -> None:
        engine = self.platform.engine
        register.words[0] = value
        if self.platform.current is self:
            engine.write_batch(engine.place, register.ids, register.places, 1)
        else:
            engine.write_saved(self.state, register)
