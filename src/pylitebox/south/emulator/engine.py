"""One Unicorn engine, by raw ctypes: an x86-64 CPU in user mode over physical memory of this process.

The package's own bindings cost ten times as much for each call, and 50 ms to import; here the library is loaded
directly. The CPU has no page tables: each translation that its TLB lacks is asked for by ``fill``. What Unicorn does
not do as a CPU does is put right here:

- it starts in ring 0: a ``sysretq`` enters ring 3, and every context is a copy of the one that results;
- ``in``, ``out`` and ``sysenter`` raise nothing: they have hooks, which say #GP. Code behind a port instruction in the
  same translated block still runs after its hook: the registers are put back, and no memory can be reached meanwhile;
- code is looked up by virtual address in a cache that only a TLB flush empties, and translations outlive a change of
  their bytes from outside: :meth:`flush_tlb`, :meth:`flush_code`;
- its TLB grows only when it is flushed: that is done when there were more fills than it can have had room for.

Missing: AVX instructions, which ``cpuid`` does not offer, are executed as their SSE namesakes instead of raising #UD;
unmasked SSE exceptions raise nothing; ``insb`` stores a zero before it faults.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# unicorn/x86.h: registers
RAX, RBP, RBX, RCX, RDI, RDX, RIP, RSI, RSP = 35, 36, 37, 38, 39, 40, 41, 43, 44
R8, R9, R10, R11, R12, R13, R14, R15 = 106, 107, 108, 109, 110, 111, 112, 113
FPSW, CR0, FP0, XMM0 = 31, 50, 82, 122
GDTR, FPCW, FPTAG, MSR, MXCSR, FS_BASE, GS_BASE, RFLAGS = 243, 246, 247, 248, 249, 250, 251, 253
# unicorn/unicorn.h
_ARCH_X86, _MODE_64, _PROT_ALL = 4, 8, 7
_HOOK_INTR, _HOOK_INSN, _HOOK_INSN_INVALID, _HOOK_TLB_FILL = 1 << 0, 1 << 1, 1 << 14, 1 << 17
_INS_IN, _INS_OUT, _INS_SYSCALL, _INS_SYSENTER = 218, 500, 699, 700
_CTL_USE_EXITS, _CTL_CPU_MODEL, _CTL_TB_FLUSH, _CTL_TLB_FLUSH, _CTL_TLB_TYPE = 4, 7, 10, 11, 12
_CPU_HASWELL, _TLB_VIRTUAL = 19, 1
#: What a TLB fill is for (uc_mem_type).
READ, WRITE, FETCH = 16, 17, 18

_MSR_STAR, _MSR_EFER = 0xC0000081, 0xC0000080
_EFER_SCE = 1
_CR0 = 0x33  # PE, MP, ET, NE
#: sysretq takes CS from here: selectors 0x33 and 0x2b, as Linux has them.
_STAR = 0x23 << 48
#: Clean extended state: what FNINIT and a reset of MXCSR leave.
CLEAN_FPCW, CLEAN_FPTAG, CLEAN_MXCSR = 0x37F, 0xFFFF, 0x1F80
_BOOT = b"\x48\x0f\x07" + b"\x90" * 13 + b"\x0f\x05"  # sysretq, to a syscall
#: Fills after which a TLB of the smallest size (256 entries) must have lost some, and one that need not grow.
_TLB_SMALLEST, _TLB_LARGEST = 320, 320 << 8


class EngineError(Exception):
    """There is no engine; the message is one sentence."""


class _Entry(ctypes.Structure):
    _fields_ = (("address", ctypes.c_uint64), ("rights", ctypes.c_int))


class _Mmr(ctypes.Structure):
    _fields_ = (
        ("selector", ctypes.c_uint16),
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _Msr(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint32), ("value", ctypes.c_uint64))


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_INTERRUPT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
_INVALID = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
_IN = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p)
_OUT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)
_FILL = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
)


def library() -> str:
    """The path of Unicorn's library in the installed package; EngineError."""
    spec = importlib.util.find_spec("unicorn")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for name in ("libunicorn.so.2", "unicorn.dll", "libunicorn.2.dylib"):
            path = os.path.join(folder, "lib", name)
            if os.path.exists(path):
                return path
    raise EngineError("the emulator needs the package unicorn: pip install 'pylitebox[emulator]'")


class Registers:
    """A list of registers that is read or written at once; ``sizes``: bytes of each (8 where not said). ``words`` and
    ``bytes`` are their values. ``ids`` and ``places`` are arguments that ctypes passes on as they are: an argument that
    it must convert costs as much as reading a register."""

    def __init__(self, *ids: int, sizes: Sequence[int] = ()) -> None:
        self.count = len(ids)
        self.words = (ctypes.c_uint64 * (2 * self.count))()  # 16 bytes for each: the largest are XMM
        self.bytes = memoryview(self.words).cast("B")
        base = ctypes.addressof(self.words)
        self.step = 16 if sizes else 8
        self.ids = ctypes.byref((ctypes.c_int * self.count)(*ids))
        self.places = ctypes.byref((ctypes.c_void_p * self.count)(*(base + self.step * i for i in range(self.count))))

    def raw(self) -> bytes:
        """What was read, ``step`` bytes for each register."""
        return bytes(self.bytes[: self.step * self.count])

    def set_raw(self, data: bytes) -> None:
        self.bytes[: len(data)] = data


class Engine:
    """A CPU over ``size`` bytes at ``base``. The hooks are called from :meth:`start`, and may call :meth:`stop`."""

    def __init__(
        self,
        base: int,
        size: int,
        *,
        syscall: Callable[[], None],
        fill: Callable[[int, int], int],
        trap: Callable[[int], None],
    ) -> None:
        """``syscall``: at a syscall instruction. ``fill(address, what)``: the physical address of a page with the
        rights it has, or -1. ``trap``: an exception by its number, or an interrupt's."""
        self._pointer = ctypes.c_void_p()
        self._load(library())
        self._check(self._lib.uc_open(_ARCH_X86, _MODE_64, ctypes.byref(self._pointer)), "made")
        handle = self.handle = self._pointer
        assert handle.value is not None
        self.place = ctypes.byref(ctypes.c_char.from_address(handle.value))  # for read_batch and write_batch
        self._control(_CTL_CPU_MODEL, 1, ctypes.c_int(_CPU_HASWELL))
        place = ctypes.c_void_p(base)
        mapped = self._lib.uc_mem_map_ptr(handle, ctypes.c_uint64(0), ctypes.c_uint64(size), _PROT_ALL, place)
        self._check(mapped, "given its memory")
        self._control(_CTL_TLB_TYPE, 1, ctypes.c_int(_TLB_VIRTUAL))
        self._control(_CTL_USE_EXITS, 1, ctypes.c_int(1))  # no address ends a run
        self.poisoned = False
        self.failure: Exception | None = None  # what a hook raised
        self._fills = 0  # since the TLB was flushed
        self._room = _TLB_SMALLEST  # so many that it cannot have had room for them
        self._flush_tlb_order = ctypes.c_int(_CTL_TLB_FLUSH | 1 << 30)
        self._hooks: list[object] = []
        self._contexts: list[ctypes.c_void_p] = []
        self._syscall = syscall
        self._fill = fill
        self._install(trap)
        self._boot(base)
        size_of = self._lib.uc_context_size
        size_of.restype = ctypes.c_size_t
        self._context_size: int = size_of(self._pointer)
        self._initial = self.new_context()
        self.save(self._initial)
        self.current = self._initial  # the state that the thread of a run has its own place for

    # -- making -----------------------------------------------------------------------------------------------

    def _load(self, path: str) -> None:
        if sys.platform == "win32":
            os.add_dll_directory(os.path.dirname(path))
        self._lib = ctypes.PyDLL(path)  # short calls keep the interpreter's lock
        run = ctypes.CDLL(path).uc_emu_start  # and guests run without it
        run.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t]
        self._run = run
        lib = self._lib
        pointer, number = ctypes.c_void_p, ctypes.c_int
        lib.uc_context_reg_read_batch.argtypes = [pointer, pointer, pointer, number]
        lib.uc_context_reg_write_batch.argtypes = [pointer, pointer, pointer, number]
        lib.uc_context_save.argtypes = lib.uc_context_restore.argtypes = [pointer, pointer]
        lib.uc_context_free.argtypes = [pointer]
        lib.uc_reg_read.argtypes = lib.uc_reg_write.argtypes = [pointer, number, pointer]
        lib.uc_emu_stop.argtypes = [pointer]
        # For each call of a guest: without argtypes, for arguments that need no conversion (Registers, self.place).
        self.read_batch, self.write_batch = lib.uc_reg_read_batch, lib.uc_reg_write_batch
        self._word = ctypes.c_uint64()
        self._word_place = ctypes.byref(self._word)

    def _check(self, code: int, what: str) -> None:
        if code:
            raise EngineError(f"Unicorn's CPU cannot be {what}: error {code}")

    def _control(self, what: int, count: int, *args: object) -> None:
        self._check(self._lib.uc_ctl(self._pointer, ctypes.c_int(what | count << 26 | 1 << 30), *args), "set up")

    def _hook(self, kind: int, callback: object, *instruction: int) -> None:
        self._hooks.append(callback)
        extra = [ctypes.c_int(number) for number in instruction]
        ident = ctypes.c_size_t()
        every = ctypes.c_uint64(1), ctypes.c_uint64(0)
        added = self._lib.uc_hook_add(
            self._pointer, ctypes.byref(ident), ctypes.c_int(kind), callback, None, *every, *extra
        )
        self._check(added, "watched")

    def _failed(self, error: Exception) -> int:
        """A hook raised: nothing passes through Unicorn."""
        self.failure = error
        self.stop()
        return -1

    def _install(self, trap: Callable[[int], None]) -> None:  # noqa: C901 - a function for each hook
        at, place = 0, _Entry()

        def on_fill(handle: int, address: int, what: int, entry: int, data: int) -> bool:
            nonlocal at, place
            if self.poisoned:
                return False
            try:
                found = self._fill(address, what)
            except Exception as error:  # noqa: BLE001
                found = self._failed(error)
            if found < 0:
                return False
            self._fills += 1
            if self._fills > self._room:
                self._room = min(2 * self._room, _TLB_LARGEST)
                self.flush_tlb()
            if entry != at:  # on Unicorn's stack, mostly at the same place
                at, place = entry, _Entry.from_address(entry)
            place.address = found & -4096
            place.rights = found & 7 if what == FETCH else found & 3
            return True

        def on_syscall(handle: int, data: int) -> None:
            if not self.poisoned:
                try:
                    self._syscall()
                except Exception as error:  # noqa: BLE001
                    self._failed(error)

        def on_interrupt(handle: int, number: int, data: int) -> None:
            self.stop()
            if not self.poisoned:
                trap(number)

        def on_invalid(handle: int, data: int) -> bool:
            self.stop()
            if not self.poisoned:
                trap(6)
            return True

        def on_port(*arguments: int) -> int:
            self.stop()
            if not self.poisoned:
                self.save(self.current)
                self.poisoned = True
                self.flush_tlb()
                trap(13)
            return 0

        self._hook(_HOOK_TLB_FILL, _FILL(on_fill))
        self._hook(_HOOK_INSN, _CALLBACK(on_syscall), _INS_SYSCALL)
        self._hook(_HOOK_INSN, _CALLBACK(on_port), _INS_SYSENTER)
        self._hook(_HOOK_INSN, _IN(on_port), _INS_IN)
        self._hook(_HOOK_INSN, _OUT(on_port), _INS_OUT)
        self._hook(_HOOK_INTR, _INTERRUPT(on_interrupt))
        self._hook(_HOOK_INSN_INVALID, _INVALID(on_invalid))

    def _boot(self, base: int) -> None:
        """Enter ring 3 by the code of one frame, which is cleared again."""
        lib, handle = self._lib, self._pointer
        ctypes.memmove(base + 4096, _BOOT, len(_BOOT))
        for number, value in ((_MSR_STAR, _STAR), (_MSR_EFER, 0xD00 | _EFER_SCE)):
            lib.uc_reg_write(handle, MSR, ctypes.byref(_Msr(number, value)))
        for register, value in (
            (CR0, _CR0),
            (RCX, 4096 + 16),
            (R11, 0x202),
            (FPCW, CLEAN_FPCW),
            (FPTAG, CLEAN_FPTAG),
            (MXCSR, CLEAN_MXCSR),
        ):
            lib.uc_reg_write(handle, register, ctypes.byref(ctypes.c_uint64(value)))
        lib.uc_reg_write(handle, GDTR, ctypes.byref(_Mmr(0, 0, 0, 0)))
        serve, self._syscall = self._syscall, self.stop
        fill, self._fill = self._fill, _boot_fill
        self._check(self._run(handle, 4096, 0, 0, 0), "started")
        self._syscall, self._fill = serve, fill
        ctypes.memset(base + 4096, 0, len(_BOOT))
        for register in (RCX, R11, RIP):
            lib.uc_reg_write(handle, register, ctypes.byref(ctypes.c_uint64(0)))
        self.flush_code()
        self.flush_tlb()

    # -- running ----------------------------------------------------------------------------------------------

    def start(self, rip: int) -> int:
        """Run from ``rip`` until stopped, or until a fill says -1; Unicorn's error, 0 if it was stopped. What a hook
        raises is raised here."""
        code: int = self._run(self.handle, rip, 0, 0, 0)
        if self.poisoned:
            self.poisoned = False
            self.restore(self.current)
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return code

    def stop(self) -> None:
        """End the run; any thread may ask."""
        self._lib.uc_emu_stop(self.handle)

    def flush_tlb(self) -> None:
        """Forget all translations of addresses."""
        if self._fills < self._room >> 3 and self._room > _TLB_SMALLEST:
            self._room >>= 1  # a TLB that is little used shrinks
        self._fills = 0
        self._lib.uc_ctl(self.handle, self._flush_tlb_order)

    def flush_code(self) -> None:
        """Forget all translated code; not from a hook."""
        self._control(_CTL_TB_FLUSH, 0)
        self.flush_tlb()

    # -- state ------------------------------------------------------------------------------------------------

    def read(self, register: int) -> int:
        self._word.value = 0  # a small register fills only a part of it
        self._lib.uc_reg_read(self.handle, register, self._word_place)
        return self._word.value

    def write(self, register: int, value: int) -> None:
        self._word.value = value
        self._lib.uc_reg_write(self.handle, register, self._word_place)

    def new_context(self) -> ctypes.c_void_p:
        """Room for a CPU's state, for as long as the engine is there."""
        context = ctypes.c_void_p()
        self._check(self._lib.uc_context_alloc(self._pointer, ctypes.byref(context)), "saved")
        self._contexts.append(context)
        return context

    def reset(self, context: ctypes.c_void_p) -> None:
        """Make a saved state one of a CPU that has run nothing, in user mode."""
        ctypes.memmove(context, self._initial, self._context_size)

    def save(self, context: ctypes.c_void_p) -> None:
        self._lib.uc_context_save(self.handle, context)

    def restore(self, context: ctypes.c_void_p) -> None:
        self._lib.uc_context_restore(self.handle, context)

    def read_saved(self, context: ctypes.c_void_p, registers: Registers) -> None:
        self._lib.uc_context_reg_read_batch(context, registers.ids, registers.places, registers.count)

    def write_saved(self, context: ctypes.c_void_p, registers: Registers) -> None:
        self._lib.uc_context_reg_write_batch(context, registers.ids, registers.places, registers.count)

    def close(self) -> None:
        """Give back what Unicorn has: a gigabyte of addresses for translated code, most of all. Nothing follows."""
        for context in self._contexts:
            self._lib.uc_context_free(context)
        self._contexts.clear()
        self._lib.uc_close(self.handle)


def _boot_fill(address: int, what: int) -> int:
    return address & -4096 | 5

