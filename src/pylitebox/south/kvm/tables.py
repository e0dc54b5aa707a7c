"""x86-64 page tables, written by the monitor from what address spaces say (Observer of south/paging).

Page tables are a cache of :attr:`PagedSpace.table`: an entry is added when the guest faults on its page, changed when a
space says that it is stale, and all tables of a space may be dropped at any time. They lie in memory of the monitor's
that ring 3 cannot name; pages of tables come from a pool, which is bounded.

An entry that was absent may simply be written. Of one that was present the CPU may know: where the host has page tables
for guests (EPT, NPT), it forgets with a new root. Where KVM keeps shadows of our tables instead (``shadowed``), it sees
only stores by the guest: few changes go through the journal (trampoline.py), for many the space gets new tables. A page
of tables is then used again only after :attr:`PageTables.forget`, which makes KVM drop every shadow.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi.mman import PROT_EXEC, PROT_WRITE
from pylitebox.south.kvm import trampoline as tr

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    from pylitebox.south.paging import PagedSpace

#: Where the monitor's memory begins in the machine's physical memory; the guests' begins at 0.
PHYSICAL = 1 << 35
PAGE = 4096
PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE, NO_EXECUTE = 1, 2, 4, 32, 64, 128, 1 << 63
_TABLE = PRESENT | WRITABLE | USER
_PAGE_BITS = PRESENT | USER | ACCESSED | DIRTY
_KERNEL = PRESENT | WRITABLE | ACCESSED | DIRTY
_JOURNAL_PAGES = 8
_ROW = struct.Struct("<4Q")
_MAX_ROWS = _JOURNAL_PAGES * PAGE // _ROW.size
#: The pages of ring 0: its four, more of the journal, and its page tables (root, PDPT, PD, PT, PD of the window).
_FIXED = tr.PAGES + _JOURNAL_PAGES - 1
_ROOT, _PDPT, _PD, _PT, _WINDOW_PD = range(_FIXED, _FIXED + 5)
_FIRST = _FIXED + 5
#: The window shows so much at the most.
MAX_SIZE = 1 << 30
#: Entries that are shown along with one that was asked for, if they are there anyway; a new table shows all its.
_AROUND = 16
#: Changes of one space at a time beyond which it gets new tables instead.
_FEW = 48
_LEVELS = 4


def _bits(entry: int) -> int:
    """The page-table entry for one of :attr:`PagedSpace.table`."""
    if not entry & 7:
        return 0
    bits = entry & -PAGE | _PAGE_BITS
    if entry & PROT_WRITE:
        bits |= WRITABLE
    return bits if entry & PROT_EXEC else bits | NO_EXECUTE


class _Tables:
    """The tables of one space: page numbers in the monitor's memory."""

    __slots__ = ("leaves", "middle", "pages", "root")

    def __init__(self, root: int) -> None:
        self.root = root
        self.pages = [root]
        self.middle: dict[tuple[int, int], int] = {}  # by level and the part of the page's number that leads there
        self.leaves: dict[int, int] = {}  # by page number >> 9: the index of the first entry


class PageTables:
    """``memory`` is the monitor's, which the machine has at PHYSICAL. ``forget``: have the CPU leave all roots but the
    kernel's, and KVM drop what it knows of every table."""

    def __init__(self, memory: mmap.mmap, forget: Callable[[], None]) -> None:
        self.trampoline = tr.assemble()
        self._memory = memory
        self._words = memoryview(memory).cast("Q")
        stack = tr.STACK_PAGE * PAGE
        self.stack = memoryview(memory)[stack : stack + PAGE]
        self.forget = forget
        self.shadowed = True
        self.kernel_root = PHYSICAL + _ROOT * PAGE
        self._free: list[int] = []
        self._used: list[int] = []  # were tables, and KVM may have shadows of them
        self._next = _FIRST
        self._end = len(memory) // PAGE
        self._of: dict[PagedSpace, _Tables] = {}
        self._stale: list[tuple[PagedSpace, int, int]] = []
        self._rows: list[tuple[int, int, int, int]] = []
        #: Whether something must be done before ring 3 is entered again.
        self.changed = False
        self._reload = False
        self._build()

    def _build(self) -> None:
        memory, words = self._memory, self._words
        memory[: len(self.trampoline.code)] = self.trampoline.code
        memory[PAGE : 2 * PAGE] = tr.tables(self.trampoline)
        at = PHYSICAL
        words[_ROOT * 512 + 511] = at + _PDPT * PAGE | _KERNEL
        words[_PDPT * 512 + 510] = at + _PD * PAGE | _KERNEL
        words[_PDPT * 512 + 511] = at + _WINDOW_PD * PAGE | _KERNEL
        words[_PD * 512] = at + _PT * PAGE | _KERNEL
        words[_PT * 512 + tr.CODE_PAGE] = at + tr.CODE_PAGE * PAGE | _KERNEL & ~WRITABLE
        words[_PT * 512 + tr.TABLES_PAGE] = at + tr.TABLES_PAGE * PAGE | _KERNEL & ~WRITABLE | NO_EXECUTE
        for page in range(tr.STACK_PAGE, _FIXED):
            words[_PT * 512 + page] = at + page * PAGE | _KERNEL | NO_EXECUTE
        for number in range(len(memory) + (1 << 21) - 1 >> 21):
            words[_WINDOW_PD * 512 + number] = at + (number << 21) | _KERNEL | LARGE | NO_EXECUTE

    # -- entries ----------------------------------------------------------------------------------------------

    def show(self, space: PagedSpace, page: int) -> None:
        """The guest faulted on ``page``, whose entry is right now; with its neighbours, where they are there."""
        words, table = self._words, space.table
        self._reserve()
        tables = self._tables(space)
        leaf = tables.leaves.get(page >> 9)
        around = _AROUND
        if leaf is None:
            leaf, around = self._leaf(tables, page), 512
        first = page & -around
        for at in range(first, first + around):
            entry = table.get(at)
            if entry is not None:
                index = leaf + (at & 511)
                if not words[index]:
                    words[index] = _bits(entry)
                elif at == page:
                    self._change(index, _bits(entry), page)

    def _change(self, index: int, bits: int, page: int) -> None:
        if self.shadowed:
            self._rows.append((tr.WINDOW + index * 8, bits, 1, page << 12))
        else:
            self._words[index] = bits
            self._reload = True
        self.changed = True

    def stale(self, space: PagedSpace, first: int, last: int) -> None:
        """Observer: looked at before the guest runs again."""
        if space in self._of:
            if not space.regions:
                self._drop(space)  # nobody runs in it any more, or it begins anew
                return
            self._stale.append((space, first, last))
            self.changed = True

    def root(self, space: PagedSpace) -> int:
        """The root that shows ``space``; what was stale is settled."""
        self._settle()
        if space not in self._of:
            self._reserve()
        return PHYSICAL + self._tables(space).root * PAGE

    def _settle(self) -> None:
        stale, self._stale = self._stale, []
        for space, first, last in stale:
            tables = self._of.get(space)
            if tables is not None:
                self._compare(space, tables, first, last)

    def _compare(self, space: PagedSpace, tables: _Tables, first: int, last: int) -> None:
        words, entries = self._words, space.table
        low, high = first >> 9, last - 1 >> 9
        if high - low < len(tables.leaves):
            numbers = [number for number in range(low, high + 1) if number in tables.leaves]
        else:
            numbers = [number for number in tables.leaves if low <= number <= high]
        changes = []
        for number in numbers:
            leaf, page = tables.leaves[number], number << 9
            start, end = max(first - page, 0), min(last - page, 512)
            for at, old in enumerate(words[leaf + start : leaf + end], start):
                if old:
                    new = _bits(entries.get(page + at, 0))
                    if new != old:
                        changes.append((leaf + at, new, page + at))
        if self.shadowed and len(changes) > _FEW:
            self._drop(space)
            return
        for index, bits, page in changes:
            self._change(index, bits, page)

    # -- the journal ------------------------------------------------------------------------------------------

    def journal(self) -> tuple[int, bool]:
        """Write rows for the trampoline: the address behind the last one, and whether there are more."""
        rows, self._rows = self._rows[:_MAX_ROWS], self._rows[_MAX_ROWS:]
        if rows:
            at = tr.JOURNAL_PAGE * PAGE
            self._memory[at : at + _ROW.size * len(rows)] = b"".join([_ROW.pack(*row) for row in rows])
        return tr.JOURNAL + _ROW.size * len(rows), bool(self._rows)

    def reload(self) -> bool:
        """All is settled; whether the CPU must forget what it knows."""
        self.changed = False
        reload, self._reload = self._reload, False
        return reload

    # -- tables -----------------------------------------------------------------------------------------------

    def _tables(self, space: PagedSpace) -> _Tables:
        tables = self._of.get(space)
        if tables is None:
            root = self._allocate()
            self._words[root * 512 + 511] = self._words[_ROOT * 512 + 511]
            tables = self._of[space] = _Tables(root)
        return tables

    def _leaf(self, tables: _Tables, page: int) -> int:
        """Make the table of the last level for ``page``."""
        above, words = tables.root, self._words
        for level, shift in ((3, 27), (2, 18), (1, 9)):
            key = (level, page >> shift)
            found = tables.middle.get(key)
            if found is None:
                found = self._allocate()
                tables.middle[key] = found
                tables.pages.append(found)
                words[above * 512 + (page >> shift & 511)] = PHYSICAL + found * PAGE | _TABLE
            above = found
        tables.leaves[page >> 9] = above * 512
        return above * 512

    def _drop(self, space: PagedSpace) -> None:
        """Forget the tables of a space; it gets new ones when it runs."""
        tables = self._of.pop(space, None)
        if tables is not None:
            self._used += tables.pages
            self.changed = True

    def _allocate(self) -> int:
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def _reserve(self) -> None:
        """Have enough pages for whatever one entry needs. If the pool is used up, what was tables once is taken back,
        and if need be what is."""
        if len(self._free) + self._end - self._next >= _LEVELS:
            return
        if len(self._used) < _LEVELS:
            for space in list(self._of):
                self._drop(space)
        self.forget()  # the CPU is on no root of these
        for where, bits, _, _ in self._rows:  # no shadow is left that would miss a store of ours
            self._words[where - tr.WINDOW >> 3] = bits
        self._rows.clear()
        self._reload = self.changed = True
        for page in self._used:
            self._memory[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        self._free += self._used
        self._used = []
