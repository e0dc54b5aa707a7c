"""The kernel's areas over real pages: whatever guests ask for, and however often memory runs out, the books agree, no
frame is anybody's twice, and nothing is left in the end."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pylitebox.abi.numbers import X86_64
from pylitebox.abi.sched import CLONE_VM
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.memory.space import Space
from pylitebox.south.paging import PageCache, PagedBuffer, PagedSpace, PhysicalMemory
from tests.north.bench import Bench, BenchThread

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task

PAGE, BASE, ELSEWHERE, HEAP = 4096, 0x2000_0000_0000, 0x3000_0000_0000, 0x1000_0000
NUMBERS = (0, 1, 4095, 1 << 21, 1 << 30, 1 << 47, (1 << 47) - PAGE, (1 << 64) - 1, (1 << 64) - PAGE, 1 << 63)
ADVICE = (0, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24)


class Thread(BenchThread):
    def clone(self, child: Task, flags: int) -> int:
        thread = Thread(self.space if flags & CLONE_VM else self.space.fork())
        child.thread, child.memory = thread, thread.memory  # type: ignore[assignment]
        return child.tid


class Sandbox:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench()
        self.kernel = self.bench.kernel
        self.physical = PhysicalMemory(self.random.choice((40, 100, 400)) * PAGE)
        self.bench.platform.shared_buffer = lambda name: PagedBuffer(self.physical)  # type: ignore[assignment]
        task = self.bench.guest().task
        assert task.process.layout.space is not None
        task.process.layout.space.drop()
        space = PagedSpace(PageCache(self.physical), self)
        layout = task.process.layout
        layout.space = Space(self.kernel, space)
        layout.brk_start = layout.brk = HEAP
        layout.brk_limit = HEAP + (1 << 20)
        task.thread, task.memory = Thread(space), space.memory  # type: ignore[assignment]
        self.tasks = [task]
        self.call(task, "mmap", ELSEWHERE, PAGE, 3, 0x32, -1, 0)
        task.memory.write(ELSEWHERE, b"x\0")
        self.fd = self.call(task, "memfd_create", ELSEWHERE, 0)
        self.call(task, "ftruncate", self.fd, 5 * PAGE)

    def stale(self, space: PagedSpace, first: int, last: int) -> None:
        """Observer."""

    def call(self, task: Task, name: str, *arguments: Any) -> int:
        registers = tuple(value & (1 << 64) - 1 for value in arguments) + (0,) * (6 - len(arguments))
        result = self.bench.personality.syscall(task, X86_64[name], registers)  # type: ignore[arg-type]
        assert self.kernel.internal_errors == 0
        assert result is not None
        return result

    def step(self) -> None:
        r, pick = self.random, self.random.choice
        task = pick(self.tasks)
        at = BASE + PAGE * r.randrange(24) if r.random() < 0.95 else pick(NUMBERS)
        other = BASE + PAGE * r.randrange(24)
        size = PAGE * r.randrange(6) if r.random() < 0.93 else pick(NUMBERS)
        match r.randrange(15):
            case 0 | 1 | 2:
                flags = pick((1, 2, 2, 3)) | pick((0x10, 0x10, 0, 0x100000)) | pick((0x20, 0x20, 0)) | pick((0, 0x4000))
                self.call(task, "mmap", at, size, r.randrange(8), flags, self.fd, pick((0, PAGE, 1 << 40, 5)))
            case 3:
                self.call(task, pick(("munmap", "mlock", "munlock")), at, size)
            case 4:
                self.call(task, "mprotect", at, size, pick((0, 1, 3, 7, 5, 2)))
            case 5:
                self.call(task, "mremap", at, size, PAGE * r.randrange(6), pick((0, 1, 3, 3, 5, 7)), other)
            case 6:
                self.call(task, "madvise", at, size, pick(ADVICE))
            case 7:
                self.call(task, "brk", HEAP + r.randrange(1 << pick((14, 20))))
            case 8:
                self.call(task, "mincore", at, size, other)
            case 9:
                self.call(task, "msync", at, size, pick((1, 2, 4, 0)))
            case 10:
                self.call(task, "ftruncate", self.fd, PAGE * r.randrange(9) + pick((0, 5)))
            case 11:
                self.call(task, "pwrite64", self.fd, ELSEWHERE, pick((1, PAGE)), r.randrange(30_000))
            case 12 if len(self.tasks) < 5:
                child = self.call(task, "fork")
                if child > 0:
                    self.tasks.append(self.kernel.tasks[child])
            case 13 if len(self.tasks) > 1:
                self.end(task)
            case _:
                try:
                    task.memory.write(other + r.randrange(PAGE), bytes(r.randrange(1, 9000)))
                except KernelError:
                    pass

    def end(self, task: Task) -> None:
        self.tasks.remove(task)
        assert self.bench.personality.syscall(task, X86_64["exit_group"], (0,) * 6) is None  # type: ignore[arg-type]

    def check(self) -> None:
        used: Counter[int] = Counter()
        entries = 0
        for task in self.tasks:
            space = task.process.layout.space
            assert space is not None
            pages: Any = space.pages
            assert sum(region.end - region.start for region in pages.regions) * PAGE == space.areas.total
            entries += len(pages.table)
            for page, entry in pages.table.items():
                region, frame = pages._find(page), entry >> 12
                assert region is not None
                assert not entry & 7 & ~region.rights
                used[frame] += 1
                if region.shared:
                    assert frame == region.content.frames[region.index + page - region.start]
                elif entry & 2:
                    assert frame
                    assert self.physical.counts[frame] == 1, "what is written to is nobody else's"
        assert entries == self.physical.entries
        assert all(self.physical.counts[frame] >= count for frame, count in used.items())
        assert not used.keys() & set(self.physical._free)


@pytest.mark.parametrize("seed", range(25))
def test_the_books_agree(seed: int) -> None:
    sandbox = Sandbox(seed)
    for _ in range(5):
        for _ in range(50):
            sandbox.step()
        sandbox.check()
    for task in list(sandbox.tasks):
        sandbox.end(task)
    assert (sandbox.physical.used, sandbox.physical.entries) == (1, 0)
    kernel = sandbox.kernel
    assert (kernel.areas.used, kernel.commit.used, len(kernel.sources)) == (0, 0, 0)
