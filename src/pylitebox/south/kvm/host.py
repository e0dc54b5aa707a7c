"""KVM's side: /dev/kvm, one virtual machine, one virtual CPU, by ioctl (Linux: Documentation/virt/kvm/api.rst).

The CPU runs in the thread that calls :meth:`Cpu.run`. A guest's time ends by a signal that is blocked everywhere but in
KVM_RUN (KVM_SET_SIGNAL_MASK), so one that comes a moment before is not lost.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct

from pylitebox.abi import kvm as K
from pylitebox.south.descriptors import KVM_CPU, KVM_VM
from pylitebox.south.start import StartError

DEVICE = "/dev/kvm"
_SHUTDOWN = {2: "an unknown exit", 8: "a triple fault", 9: "a failed entry", 17: "an internal error"}

# Offsets in struct kvm_run.
_REQUEST_INTERRUPT_WINDOW = 0
_EXIT_REASON = 8
_READY_FOR_INTERRUPT = 12
_VALID_REGS, _DIRTY_REGS, _REGS = 288, 296, 304
_REGS_SIZE = 18 * 8

SREGS_SIZE = 312
XSAVE_SIZE = 4096
_SEGMENT = struct.Struct("<QIHBBBBBBBBBB")
_TABLE = struct.Struct("<QH6x")
_CONTROL = struct.Struct("<7Q")
#: Offsets in struct kvm_sregs.
_TR, _LDT, _GDTR, _IDTR, _CR0 = 144, 168, 192, 208, 224

CR0 = 0x80050033  # PG AM WP NE ET MP PE
CR4_PAE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_UMIP = 1 << 5, 1 << 9, 1 << 10, 1 << 11
CR4_FSGSBASE, CR4_OSXSAVE, CR4_SMEP, CR4_SMAP = 1 << 16, 1 << 18, 1 << 20, 1 << 21
EFER = 0xD01  # NX LMA LME SCE
MSR_STAR, MSR_LSTAR, MSR_SFMASK = 0xC0000081, 0xC0000082, 0xC0000084
MSR_FS_BASE, MSR_GS_BASE = 0xC0000100, 0xC0000101

#: x87, SSE, AVX and the three parts of AVX-512: what a guest's registers may hold (XCR0).
_XCR0_BASE, _XCR0_AVX512 = 7, 0xE0
_CPUID = struct.Struct("<10I")

_SLOT = struct.Struct("<IIQQQ")
TICK_SIGNAL = signal.SIGALRM


class HypervisorError(StartError):
    """The host's KVM cannot be used; the message is one sentence."""


class Vm:
    """A virtual machine with one CPU and memory in slots."""

    def __init__(self) -> None:
        try:
            self.device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise HypervisorError(f"{DEVICE} cannot be opened: {error.strerror}") from None
        self._held = [self.device]
        try:
            self._check()
            self.fd = _placed(_again(self.device, K.KVM_CREATE_VM, 0), KVM_VM)
            self._held.append(self.fd)
        except OSError as error:
            self.close()
            raise HypervisorError(f"{DEVICE} makes no virtual machine: {error.strerror}") from None
        except HypervisorError:
            self.close()
            raise
        self._slots: list[bytes] = []
        self._pinned: list[object] = []

    def _check(self) -> None:
        if fcntl.ioctl(self.device, K.KVM_GET_API_VERSION) != K.KVM_API_VERSION:
            raise HypervisorError(f"{DEVICE} is of another version")
        if not fcntl.ioctl(self.device, K.KVM_CHECK_EXTENSION, K.KVM_CAP_SYNC_REGS) & K.KVM_SYNC_X86_REGS:
            raise HypervisorError("this KVM does not share its CPU's registers (KVM_CAP_SYNC_REGS)")

    def add_memory(self, physical: int, memory: mmap.mmap) -> None:
        """``memory`` is what the machine has at the physical address."""
        view = ctypes.c_char.from_buffer(memory)
        self._pinned.append(view)
        row = _SLOT.pack(len(self._slots), 0, physical, len(memory), ctypes.addressof(view))
        try:
            fcntl.ioctl(self.fd, K.KVM_SET_USER_MEMORY_REGION, row)
        except OSError as error:
            raise HypervisorError(f"KVM takes no memory of {len(memory) >> 20} MiB: {error.strerror}") from None
        self._slots.append(row)

    def renew(self, slot: int) -> None:
        """Take a slot out and put it in again: KVM drops all that it derived from what is in guests' memory."""
        row = self._slots[slot]
        number, _, physical, _, address = _SLOT.unpack(row)
        fcntl.ioctl(self.fd, K.KVM_SET_USER_MEMORY_REGION, _SLOT.pack(number, 0, physical, 0, address))
        fcntl.ioctl(self.fd, K.KVM_SET_USER_MEMORY_REGION, row)

    def cpu(self) -> Cpu:
        """Its CPU; the device is needed no more."""
        fd = _placed(_again(self.fd, K.KVM_CREATE_VCPU, 0), KVM_CPU)
        self._held.append(fd)
        cpu = Cpu(self.device, fd)
        os.close(self.device)
        self._held.remove(self.device)
        return cpu

    def descriptors(self) -> list[int]:
        return list(self._held)

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop())


class Cpu:
    """The virtual CPU. ``registers`` are the 18 words of struct kvm_regs, which the next :meth:`run` takes over if
    ``dirty[0]`` says so."""

    def __init__(self, device: int, fd: int) -> None:
        self.fd = fd
        size = fcntl.ioctl(device, K.KVM_GET_VCPU_MMAP_SIZE, 0)
        self._shared = mmap.mmap(fd, size, flags=mmap.MAP_SHARED)
        view = memoryview(self._shared)
        self.registers = view[_REGS : _REGS + _REGS_SIZE].cast("Q")
        self.dirty = view[_DIRTY_REGS : _DIRTY_REGS + 8].cast("Q")
        self._reason = view[_EXIT_REASON : _EXIT_REASON + 4].cast("I")
        self._flags = view[:16]
        view[_VALID_REGS : _VALID_REGS + 8].cast("Q")[0] = K.KVM_SYNC_X86_REGS
        self._views = [self.registers, self.dirty, self._reason, self._flags, view]
        self.leaves, table = _supported(device)
        fcntl.ioctl(fd, K.KVM_SET_CPUID2, table)
        self.xcr0 = _XCR0_BASE
        self.fsgsbase = False
        self.signal_mask()

    # -- set-up -----------------------------------------------------------------------------------------------

    def leaf(self, number: int, index: int = 0) -> tuple[int, int, int, int]:
        """What cpuid says: eax, ebx, ecx, edx."""
        return self.leaves.get((number, index), (0, 0, 0, 0))

    def signal_mask(self) -> None:
        """While the guest runs the tick's signal ends the run; all others wait."""
        mask = ((1 << 64) - 1) & ~(1 << TICK_SIGNAL - 1)
        fcntl.ioctl(self.fd, K.KVM_SET_SIGNAL_MASK, struct.pack("<IQ", 8, mask))

    def enter_long_mode(
        self, *, root: int, gdt: tuple[int, int], idt: tuple[int, int], tss: tuple[int, int, int]
    ) -> None:
        """64-bit code of ring 0, and its tables; ``tss``: selector, address, limit."""
        state = bytearray(SREGS_SIZE)
        fcntl.ioctl(self.fd, K.KVM_GET_SREGS, state)
        data = _SEGMENT.pack(0, 0xFFFFFFFF, 0x18, 3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
        state[:_TR] = _SEGMENT.pack(0, 0xFFFFFFFF, 0x10, 11, 1, 0, 0, 1, 1, 1, 0, 0, 0) + data * 5
        state[_TR:_LDT] = _SEGMENT.pack(tss[1], tss[2], tss[0], 11, 1, 0, 0, 0, 0, 0, 0, 0, 0)
        state[_LDT:_GDTR] = _SEGMENT.pack(0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0)
        state[_GDTR:_IDTR] = _TABLE.pack(*gdt)
        state[_IDTR:_CR0] = _TABLE.pack(*idt)
        base = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE
        leaf7 = self.leaf(7)
        wanted = ((0, CR4_FSGSBASE), (7, CR4_SMEP), (20, CR4_SMAP))
        cr4 = base | sum(bit for at, bit in wanted if leaf7[1] >> at & 1)
        if leaf7[2] >> 2 & 1:
            cr4 |= CR4_UMIP
        state[_CR0 : _CR0 + 56] = _CONTROL.pack(CR0, 0, root, cr4, 0, EFER, _CONTROL.unpack_from(state, _CR0)[6])
        fcntl.ioctl(self.fd, K.KVM_SET_SREGS, bytes(state))
        self.fsgsbase = bool(cr4 & CR4_FSGSBASE)

    def set_xcr0(self) -> None:
        """Let guests have the widest extended state; in long mode."""
        wanted = _XCR0_BASE | _XCR0_AVX512
        for xcr0 in (wanted & self.leaf(0xD)[0], _XCR0_BASE):
            row = struct.pack("<IIIIQ", 1, 0, 0, 0, xcr0).ljust(392, b"\0")
            try:
                fcntl.ioctl(self.fd, K.KVM_SET_XCRS, row)
            except OSError:
                continue
            self.xcr0 = xcr0
            return
        raise HypervisorError("this KVM gives its guests no AVX")

    def set_msrs(self, values: dict[int, int]) -> None:
        rows = b"".join([struct.pack("<IIQ", index, 0, value) for index, value in values.items()])
        if fcntl.ioctl(self.fd, K.KVM_SET_MSRS, bytearray(struct.pack("<II", len(values), 0) + rows)) != len(values):
            raise HypervisorError("this KVM does not let a machine be set up for system calls")

    # -- a thread's own state ---------------------------------------------------------------------------------

    def bases(self) -> tuple[int, int]:
        """The bases of FS and GS."""
        row = bytearray(struct.pack("<II IIQ IIQ", 2, 0, MSR_FS_BASE, 0, 0, MSR_GS_BASE, 0, 0))
        fcntl.ioctl(self.fd, K.KVM_GET_MSRS, row)
        return int.from_bytes(row[16:24], "little"), int.from_bytes(row[32:40], "little")

    def set_bases(self, fs: int, gs: int) -> None:
        fcntl.ioctl(
            self.fd, K.KVM_SET_MSRS, struct.pack("<II IIQ IIQ", 2, 0, MSR_FS_BASE, 0, fs, MSR_GS_BASE, 0, gs)
        )

    def extended(self) -> bytearray:
        """The extended state: an XSAVE image in the standard format."""
        state = bytearray(XSAVE_SIZE)
        fcntl.ioctl(self.fd, K.KVM_GET_XSAVE, state)
        return state

    def set_extended(self, state: bytearray) -> None:
        fcntl.ioctl(self.fd, K.KVM_SET_XSAVE, state)

    # -- running ----------------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Run until the trampoline halts; True. False: the tick came first, and the CPU stands somewhere."""
        try:
            fcntl.ioctl(self.fd, K.KVM_RUN, 0)
        except OSError as error:
            if error.errno != errno.EINTR:
                raise HypervisorError(f"the virtual CPU stopped: {error.strerror}") from None
            signal.sigtimedwait((TICK_SIGNAL,), 0)
            return False
        reason = self._reason[0]
        if reason == K.KVM_EXIT_HLT:
            return True
        if reason == K.KVM_EXIT_IRQ_WINDOW_OPEN:
            # Asked for perhaps in an earlier run, which a call ended first: nobody may want it any more.
            self._flags[_REQUEST_INTERRUPT_WINDOW] = 0
            return False
        raise HypervisorError(f"the virtual CPU stopped: {_SHUTDOWN.get(reason, f'exit {reason}')}")

    def interrupt(self, vector: int) -> bool:
        """Interrupt the code of ring 3 by ``vector`` when the CPU runs next; False: not yet, run once more first."""
        ready = self._flags[_READY_FOR_INTERRUPT]
        self._flags[_REQUEST_INTERRUPT_WINDOW] = not ready
        if ready:
            fcntl.ioctl(self.fd, K.KVM_INTERRUPT, struct.pack("<I", vector))
        return bool(ready)

    def close(self) -> None:
        while self._views:
            self._views.pop(0).release()
        self._shared.close()


def _placed(fd: int, number: int) -> int:
    """The descriptor at the number that the supervisor's filter knows; any other where that one is taken."""
    try:
        os.fstat(number)
    except OSError:
        os.dup2(fd, number, inheritable=False)
        os.close(fd)
        return number
    return fd


def _again(fd: int, request: int, argument: int) -> int:
    """An ioctl that a signal may interrupt."""
    while True:
        try:
            return fcntl.ioctl(fd, request, argument)
        except InterruptedError:
            continue


def _supported(device: int) -> tuple[dict[tuple[int, int], tuple[int, int, int, int]], bytearray]:
    """What the machine's CPU may be: the registers of cpuid by leaf and sub-leaf, and the table for KVM_SET_CPUID2."""
    table = bytearray(8 + _CPUID.size * 256)
    struct.pack_into("<I", table, 0, 256)
    fcntl.ioctl(device, K.KVM_GET_SUPPORTED_CPUID, table)
    count = struct.unpack_from("<I", table, 0)[0]
    leaves = {}
    for number in range(count):
        leaf, index, _, eax, ebx, ecx, edx, *_ = _CPUID.unpack_from(table, 8 + _CPUID.size * number)
        leaves[leaf, index] = eax, ebx, ecx, edx
    return leaves, table
