"""What is mapped: one handle for each content, held by the kernel for as long as any area of any process shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.platform import MapSource, Platform


class Source:
    """A content that is mapped. ``write``: stores may reach it. ``charge``: bytes that it counts as memory of the
    sandbox, which only shared memory without a file does."""

    __slots__ = ("charge", "file", "key", "users", "write")

    def __init__(self, file: MapSource, *, write: bool, charge: int) -> None:
        self.file = file
        self.key = file.key()
        self.write = write
        self.charge = charge
        self.users = 0  # areas that show it, and who is about to map it


class Sources:
    """All of one kernel; ``budget`` bounds how many are open, ``commit`` what they count."""

    def __init__(self, budget: Budget, commit: Budget) -> None:
        self._budget = budget
        self._commit = commit
        self._open: dict[tuple[tuple[int, int], bool], Source] = {}

    def __len__(self) -> int:
        return len(self._open)

    def claim(self, file: MapSource, *, write: bool) -> Source:
        """The source of a content, to be released; ``file`` stays the caller's. ENOMEM."""
        source = self._open.get((file.key(), write))
        if source is None:
            self._budget.take(1)
            try:
                source = Source(file.share(), write=write, charge=0)
            except BaseException:
                self._budget.give(1)
                raise
            self._open[source.key, write] = source
        source.users += 1
        return source

    def anonymous(self, platform: Platform, size: int) -> Source:
        """New shared memory of zeros, to be released; ENOMEM."""
        self._commit.take(size)
        try:
            self._budget.take(1)
            try:
                buffer = platform.shared_buffer("zero")
                try:
                    buffer.truncate(size)
                except BaseException:
                    buffer.close()
                    raise
            except BaseException:
                self._budget.give(1)
                raise
        except BaseException:
            self._commit.give(size)
            raise
        source = Source(buffer, write=True, charge=size)
        source.users = 1
        self._open[source.key, True] = source
        return source

    def release(self, source: Source) -> None:
        source.users -= 1
        if not source.users:
            del self._open[source.key, source.write]
            self._budget.give(1)
            self._commit.give(source.charge)
            source.file.close()
