"""Finding out, on a machine's first instructions, how this host runs ring 3: see :class:`Strategy`.

The test is a few instructions of ring 3 that read a word and make a system call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError
from pylitebox.south.kvm import trampoline as tr
from pylitebox.south.kvm.host import HypervisorError
from pylitebox.south.kvm.machine import G_RAX, G_RIP, SYSCALL, Broken, Machine
from pylitebox.south.paging import PagedSpace

if TYPE_CHECKING:
    from pylitebox.south.paging import PageCache

_CODE, _DATA, _OTHER = 0x10000, 0x20000, 0x30000
_G_RDI = 8
#: 1: mov (%rdi),%rax; syscall; jmp 1b
_PROGRAM = bytes.fromhex("488b07 0f05 ebf9")
_READ, _WRITE, _FETCH = 0, 2, 16


class Strategy(NamedTuple):
    """How this host runs ring 3."""

    #: SYSCALL arrives as a page fault of ring 3 at LSTAR (else at LSTAR).
    faulting_syscall: bool
    #: KVM keeps shadows of our page tables and sees only stores by the guest (else, a new root).
    shadowed: bool

    def __str__(self) -> str:
        call = "as a fault (nested)" if self.faulting_syscall else "as an instruction"
        tables = "by stores in ring 0 (shadow paging)" if self.shadowed else "by a new root (nested paging)"
        return f"system calls arrive {call}, page tables change {tables}"


def need(error: int) -> int:
    """The right that an access lacked, by a page fault's error code."""
    return PROT_EXEC if error & _FETCH else PROT_WRITE if error & _WRITE else PROT_READ


def examine(machine: Machine, cache: PageCache) -> Strategy:
    """Set up ``machine`` for this host; HypervisorError if it can't be used."""
    tables = machine.tables
    space = PagedSpace(cache, tables)
    try:
        space.map(_CODE, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, None, 0, shared=False)
        space.memory.write(_CODE, _PROGRAM)
        _renew(space, 1)
        gregs = [0] * 23
        gregs[_G_RDI], gregs[G_RIP] = _DATA, _CODE
        machine.space = space
        machine.put(gregs)
        if _read(machine, space) != 1:
            raise HypervisorError("a virtual CPU does not do what it should")
        tables.shadowed = False
        _renew(space, 2)
        if _read(machine, space) != 2:
            tables.shadowed = True
            tables.forget()
            for value in (3, 4):
                _renew(space, value)
                if _read(machine, space) != value:
                    raise HypervisorError("the page tables of a virtual machine cannot be changed on this host")
    except (Broken, KernelError) as error:
        raise HypervisorError(f"a virtual CPU cannot run ring 3 on this host: {error}") from None
    finally:
        space.drop()
    return Strategy(machine.faulting_syscall, tables.shadowed)


def _renew(space: PagedSpace, value: int) -> None:
    """Another frame for the page of data, with ``value`` in it."""
    space.map(_OTHER, PAGE_SIZE, PROT_READ | PROT_WRITE, None, 0, shared=False)
    space.memory.write(_OTHER, value.to_bytes(8, "little"))
    space.unmap(_DATA, PAGE_SIZE)
    space.move(_OTHER, PAGE_SIZE, _DATA)


def _read(machine: Machine, space: PagedSpace) -> int:
    """Run up to the system call; what was read."""
    for _ in range(8):
        machine.run()
        if machine.event == SYSCALL:
            return machine.fetch()[G_RAX]
        if machine.event != tr.PAGE_FAULT:
            break
        if machine.at_syscall_entry():
            return machine.fetch()[G_RAX]
        space.touch(machine.address >> 12, need(machine.error), now=True)
        tables = machine.tables
        tables.show(space, machine.address >> 12)
    raise HypervisorError(f"a virtual CPU cannot run ring 3 on this host: vector {machine.event}")
