"""Host descriptors: files of guests get half of them, and give back what was one too many."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.south import descriptors
from pylitebox.south.hostfiles import open_tree
from pylitebox.south.native.buffers import Memfd


@pytest.fixture
def none_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_limit", 0)


@pytest.fixture
def nothing_leaks() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.usefixtures("nothing_leaks", "none_left")
def test_files_and_buffers_beyond_the_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    tree = open_tree(tmp_path)  # the supervisor's own
    for attempt in (lambda: tree.open(b"file"), lambda: tree.create(b"new", 0o644), lambda: Memfd("buffer")):
        with pytest.raises(KernelError) as error:
            attempt()
        assert error.value.errno == E.ENFILE
    tree.close()


@pytest.mark.usefixtures("nothing_leaks")
def test_second_descriptors_count_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    tree = open_tree(tmp_path)
    file, buffer = tree.open(b"file", write=True), Memfd("buffer")
    monkeypatch.setattr(descriptors, "_limit", buffer.descriptor(write=False) + 2)  # one more, not two
    with pytest.raises(KernelError) as error:
        Memfd("another")
    assert error.value.errno == E.ENFILE
    monkeypatch.setattr(descriptors, "_limit", 0)
    with pytest.raises(KernelError) as error:
        file.descriptor(write=False)
    assert error.value.errno == E.ENFILE
    file.close()
    buffer.close()
    tree.close()


@pytest.mark.parametrize(("every", "files", "processes"), [(1024, 512, 128), (64, 32, 1), (20_000, 10_000, 4872)])
def test_half_is_for_files(monkeypatch: pytest.MonkeyPatch, every: int, files: int, processes: int) -> None:
    monkeypatch.setattr(descriptors, "_limit", 0)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (every, every))
    assert descriptors.divide() == processes
    assert descriptors._limit == files
