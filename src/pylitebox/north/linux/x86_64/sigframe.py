"""Signal frames of x86-64 (arch/x86/kernel/signal_64.c): entering a handler, restarting a call, rt_sigreturn(2).

A frame lies below the red zone, or on the alternate stack: return address (the restorer), struct ucontext (304 bytes),
siginfo (128 bytes), then the extended state, aligned to 64. The stack pointer is 8 modulo 16 at the handler, as after
a call. The ucontext is the kernel's, whose signal mask is one word.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.wait import (
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
    ERESTARTNOINTR,
    ERESTARTSYS,
)
from pylitebox.north.linux import siginfo

if TYPE_CHECKING:
    from pylitebox.kernel.platform import MachineContext
    from pylitebox.kernel.signals import Action, SigInfo
    from pylitebox.kernel.task import Task

# Indexes of the registers in struct sigcontext.
RDI, RSI, RDX, RAX, RSP, RIP, EFLAGS, SEGMENTS, OLDMASK = 8, 9, 12, 13, 15, 16, 17, 18, 21
REGISTERS = 23
RED_ZONE = 128
UCONTEXT_SIZE = 304
#: Restorer, ucontext, siginfo.
FRAME_SIZE = 8 + UCONTEXT_SIZE + sg.SIGINFO_SIZE
_MASK = (1 << 64) - 1
_MINUS_EINTR = _MASK + 1 - E.EINTR
_UC_FP_XSTATE, _UC_SIGCONTEXT_SS, _UC_STRICT_RESTORE_SS = 1, 2, 4
#: flags, link, stack_t, registers and the extended state's address, eight reserved words, mask.
_UCONTEXT = struct.Struct("<QQQiiQ24Q64xQ")
_FRAME_HEAD = struct.Struct("<Q")
#: Flags that rt_sigreturn may set: AC OF DF TF SF ZF AF PF CF RF (FIX_EFLAGS).
_USER_FLAGS = 0x50DD5
#: Flags that a handler starts without: DF RF TF.
_HANDLER_FLAGS = 0x400 | 0x10000 | 0x100

_NR_FUTEX = 202
_SYSCALL = b"\x0f\x05"


def on_stack(task: Task, sp: int) -> bool:
    """Whether the thread runs on its alternate stack."""
    base, flags, size = task.altstack
    return not flags & (sg.SS_DISABLE | sg.SS_AUTODISARM) and base < sp <= base + size


def restart(task: Task, context: MachineContext, action: Action | None) -> None:
    """Settle a call that a signal interrupted: EINTR stays or the call is made again (man 7 signal)."""
    gregs = context.gregs
    code, task.interrupted = task.interrupted, None
    if code is not None:
        if gregs[RAX] != _MINUS_EINTR:
            return
        again = action is None or code == ERESTARTNOINTR
        if code == ERESTARTSYS and action is not None:
            again = bool(action.flags & sg.SA_RESTART)
        if again and code in (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK):
            gregs[RAX] = task.syscall_number
            gregs[RIP] = gregs[RIP] - 2 & _MASK
    elif (
        action is not None
        and not action.flags & sg.SA_RESTART
        and gregs[RAX] == _NR_FUTEX
        and gregs[RSI] & 0x7F in (0, 9)
        and task.kernel.platform.delegates_memory
    ):
        # The host would restart its own futex wait: the thread stands before the instruction again.
        try:
            if task.memory.read(gregs[RIP], 2) != _SYSCALL:
                return
        except KernelError:
            return
        gregs[RIP] = gregs[RIP] + 2 & _MASK
        gregs[RAX] = _MINUS_EINTR


def push(task: Task, context: MachineContext, info: SigInfo, action: Action) -> None:
    """Build the frame of a handler and enter it; EFAULT if there is no room, or no restorer."""
    gregs = context.gregs
    if not action.flags & sg.SA_RESTORER:
        raise KernelError(E.EFAULT)
    sp = gregs[RSP] - RED_ZONE & _MASK
    base, flags, size = task.altstack
    alternate = on_stack(task, gregs[RSP])
    if action.flags & sg.SA_ONSTACK and not alternate and not flags & sg.SS_DISABLE:
        sp = base + size & _MASK
        alternate = True
    state = context.fpstate()
    state_address = sp - len(state) & -64
    frame = (state_address - FRAME_SIZE & -16) - 8
    if frame < 0 or (alternate and not base < frame <= base + size):
        raise KernelError(E.EFAULT)
    mask = task.blocked if task.saved_mask is None else task.saved_mask
    registers = [*gregs[:REGISTERS], state_address]
    registers[OLDMASK] = mask
    ucontext = _UCONTEXT.pack(
        _UC_FP_XSTATE | _UC_SIGCONTEXT_SS | _UC_STRICT_RESTORE_SS,
        0,
        base,
        flags - (1 << 32) if flags >> 31 else flags,
        0,
        size,
        *registers,
        mask,
    )
    data = _FRAME_HEAD.pack(action.restorer) + ucontext + siginfo.pack(info)
    task.memory.write(frame, data.ljust(state_address - frame, b"\0") + state)
    task.saved_mask = None
    if flags & sg.SS_AUTODISARM:
        task.altstack = (0, sg.SS_DISABLE, 0)
    gregs[RDI] = info.signo
    gregs[RSI] = frame + 8 + UCONTEXT_SIZE
    gregs[RDX] = frame + 8
    gregs[RAX] = 0
    gregs[RSP] = frame
    gregs[RIP] = action.handler
    gregs[EFLAGS] &= ~_HANDLER_FLAGS
    context.set_fpstate(0)


def pop(task: Task, context: MachineContext) -> int:
    """Take the registers from the frame that rt_sigreturn(2) is called in; the mask to restore. EFAULT."""
    gregs = context.gregs
    unpacked = _UCONTEXT.unpack(task.memory.read(gregs[RSP], UCONTEXT_SIZE))
    _, _, base, flags, _, size, *registers, mask = unpacked
    state_address = registers[REGISTERS]
    try:
        set_altstack(task, gregs[RSP], base, flags & 0xFFFFFFFF, size)  # on the handler's stack, as since Linux 6.12
    except KernelError:
        pass  # what the frame says of the stack counts only if sigaltstack(2) would take it
    kept = gregs[EFLAGS] & ~_USER_FLAGS
    gregs[:EFLAGS] = registers[:EFLAGS]  # what follows describes a fault, or is not the guest's to set
    gregs[EFLAGS] = kept | registers[EFLAGS] & _USER_FLAGS
    context.set_fpstate(state_address)
    return int(mask)


def set_altstack(task: Task, sp: int, base: int, flags: int, size: int) -> None:
    """sigaltstack(2); EPERM while the thread runs on it, EINVAL, ENOMEM."""
    if on_stack(task, sp):
        raise KernelError(E.EPERM)
    mode = flags & ~sg.SS_AUTODISARM
    if mode not in (0, sg.SS_ONSTACK, sg.SS_DISABLE):
        raise KernelError(E.EINVAL)
    if mode == sg.SS_DISABLE:
        base = size = 0
    elif size < sg.MINSIGSTKSZ:
        raise KernelError(E.ENOMEM)
    task.altstack = (base, flags, size)
