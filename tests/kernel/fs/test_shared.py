"""Buffers of mapped files are taken back when the host has no descriptor left, and never from a file in use."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import shared
from pylitebox.kernel.fs.content import CHUNK
from tests.kernel.fs.support import Platform, Tree, errno_of

ROOM = 10


class Narrow(Platform):
    """A host with room for ten buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[Any] = set()

    def shared_buffer(self, name: str) -> Any:
        if len(self.open) >= ROOM:
            raise KernelError(E.ENFILE)
        buffer = super().shared_buffer(name)
        self.open.add(buffer)
        close = buffer.close

        def closed() -> None:
            close()
            if not buffer.users:
                self.open.discard(buffer)

        buffer.close = closed  # type: ignore[method-assign]
        return buffer


@pytest.fixture
def tree() -> Iterator[Tree]:
    tree = Tree()
    tree.platform = tree.kernel.platform = narrow = Narrow()  # type: ignore[assignment]
    yield tree
    for buffer in tuple(narrow.open):
        buffer.close()


def make(tree: Tree, name: bytes, data: bytes = b"data") -> Any:
    file = tree.filesystem.root.create(name, 0o644, tree.root.cred)
    file.write_at(data, 0)
    return file


def maps(tree: Tree, *files: Any) -> None:
    """From now on, a process maps these files."""
    areas = [SimpleNamespace(source=file.content.shared.key()) for file in files]
    calls: list[int] = []
    thread = SimpleNamespace(areas=lambda: calls.append(1) or areas)
    process = SimpleNamespace(tasks={2: SimpleNamespace(thread=thread)})
    tree.kernel.processes[2] = process  # type: ignore[assignment]
    tree.calls = calls  # type: ignore[attr-defined]


def test_what_nobody_maps_is_taken_back(tree: Tree) -> None:
    files = [make(tree, b"%d" % i, b"%d" % i * 3000) for i in range(5 * ROOM)]
    files[0].map_source(write=True).close()
    maps(tree, files[0])
    for file in files:
        file.map_source(write=True).close()
    assert files[0].content.shared is not None
    files[0].content.shared.write_at(b"through the mapping", 0)
    assert files[0].read_at(7, 0) == b"through"
    assert [file.read_at(100_000, 0) for file in files[1:]] == [b"%d" % i * 3000 for i in range(1, 5 * ROOM)]
    used = tree.kernel.file_memory.used
    for file in files:
        file.content.unshare()
    assert tree.kernel.file_memory.used == used == sum(-(-len(b"%d" % i * 3000) // 4096) * 4096 for i in range(50))


def test_what_is_mapped_held_or_large_is_not(tree: Tree) -> None:
    files = [make(tree, b"%d" % i) for i in range(ROOM - 2)]
    held = make(tree, b"held")
    large = make(tree, b"large", bytes(shared.SMALL + 1))
    handle = held.map_source(write=False)
    for file in (*files, large):
        file.map_source(write=False).close()
    maps(tree, *files)
    more = make(tree, b"more")
    assert errno_of(more.map_source, write=False) == E.ENFILE
    assert errno_of(more.map_source, write=False) == E.ENFILE
    assert tree.calls == [1]  # type: ignore[attr-defined] # what was in vain is not done for each call
    handle.close()
    tree.later(2)
    more.map_source(write=False).close()
    assert held.content.shared is None
    assert large.content.shared is not None


def test_too_many_areas_are_not_looked_through(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_AREAS", 3)
    files = [make(tree, b"%d" % i) for i in range(ROOM)]
    for file in files:
        file.map_source(write=False).close()
    maps(tree, *files[:4])
    assert errno_of(make(tree, b"more").map_source, write=False) == E.ENFILE


def test_holes_stay_holes(tree: Tree) -> None:
    file = make(tree, b"sparse")
    file.write_at(b"x", 3 * CHUNK)
    file.map_source(write=True).close()
    file.content.unshare()
    assert file.content.seek_data(CHUNK, hole=False) == 3 * CHUNK
    assert (file.size, file.read_at(1, 3 * CHUNK), file.content.blocks) == (3 * CHUNK + 1, b"x", 16)
