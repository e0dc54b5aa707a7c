"""Guest threads as the kvm platform holds them.

The registers of one that isn't in the machine are in ``gregs``. Its extended state and segment bases stay in the CPU
until another thread needs it (``platform.owner``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.south.kvm.host import XSAVE_SIZE
from pylitebox.south.kvm.machine import G_EFLAGS, G_ERR, G_RAX, G_RIP, G_RSP, WORDS
from pylitebox.south.turns import TurnThread

if TYPE_CHECKING:
    from pylitebox.south.kvm.platform import KvmPlatform
    from pylitebox.south.paging import PagedSpace
    from pylitebox.south.turns import TurnProcess

_MASK = (1 << 64) - 1


class KvmThread(TurnThread):
    """ManagedThread of the contract."""

    __slots__ = ("_bases", "extended", "gregs", "trap")

    platform: KvmPlatform

    def __init__(self, platform: KvmPlatform, process: TurnProcess, space: PagedSpace) -> None:
        super().__init__(platform, process, space)
        self.gregs = [0] * WORDS
        self.extended: bytearray | None = None  # None: clean
        self._bases = (0, 0)
        self.trap = (0, 0, 0, 0)  # what signal frames say of the last fault: err, trapno, oldmask, cr2

    # -- what each platform adds ------------------------------------------------------------------------------

    def enter(self, entry: int, stack_pointer: int) -> None:
        self.gregs[G_RIP], self.gregs[G_RSP], self.gregs[G_EFLAGS] = entry, stack_pointer, 0x202

    def returns(self, result: int) -> None:
        if self.platform.current is self:
            self.platform.machine.result(result & _MASK)
        else:
            self.gregs[G_RAX] = result & _MASK

    def copy(self, process: TurnProcess, space: PagedSpace) -> KvmThread:
        thread = KvmThread(self.platform, process, space)
        thread.gregs = self.registers()
        thread.gregs[G_RAX] = 0
        thread.extended = self.image()
        thread._bases = self.bases()
        return thread

    def stack_pointer(self) -> int:
        return self.registers()[G_RSP]

    def set_stack_pointer(self, value: int) -> None:
        self.gregs[G_RSP] = value

    @property
    def fs_base(self) -> int:
        return self.bases()[0]

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self._set_bases(value, self.bases()[1])

    @property
    def gs_base(self) -> int:
        return self.bases()[1]

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self._set_bases(self.bases()[0], value)

    # -- what the CPU may have --------------------------------------------------------------------------------

    def registers(self) -> list[int]:
        """A copy."""
        return self.platform.machine.fetch() if self.platform.current is self else list(self.gregs)

    def bases(self) -> tuple[int, int]:
        return self.platform.cpu.bases() if self.platform.owner is self else self._bases

    def _set_bases(self, fs: int, gs: int) -> None:
        if self.platform.owner is self:
            self.platform.cpu.set_bases(fs, gs)
        else:
            self._bases = fs, gs

    def image(self) -> bytearray:
        """The extended state, to be kept."""
        if self.platform.owner is self:
            return self.platform.cpu.extended()
        return self.extended if self.extended is not None else self.platform.states.clean(XSAVE_SIZE)

    def set_image(self, image: bytearray) -> None:
        if self.platform.owner is self:
            self.platform.cpu.set_extended(image)
        else:
            self.extended = image

    def take(self) -> None:
        """Another thread needs the CPU: keep what is this one's."""
        self._bases, self.extended = self.platform.cpu.bases(), self.platform.cpu.extended()

    def give(self) -> None:
        """Make the CPU this thread's."""
        cpu = self.platform.cpu
        cpu.set_bases(*self._bases)
        cpu.set_extended(self.extended if self.extended is not None else self.platform.states.clean(XSAVE_SIZE))


class KvmContext:
    """MachineContext of a thread whose registers are not in the machine."""

    __slots__ = ("_image", "_thread", "gregs")

    def __init__(self, thread: KvmThread) -> None:
        self._thread = thread
        self.gregs = [*thread.gregs[:G_ERR], *thread.trap]
        self._image: bytearray | None = None

    def fpstate(self) -> bytes:
        return self._thread.platform.states.frame(self._thread.image())

    def set_fpstate(self, address: int) -> None:
        states = self._thread.platform.states
        if address:
            self._image = states.restored(self._thread.memory, address, XSAVE_SIZE)
        else:
            self._image = states.clean(XSAVE_SIZE)

    def commit(self) -> None:
        """The thread goes on with this."""
        self._thread.gregs = [value & _MASK for value in self.gregs]
        if self._image is not None:
            self._thread.set_image(self._image)
            self._image = None
