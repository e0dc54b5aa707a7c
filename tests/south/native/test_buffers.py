"""Shared buffers: a seal holds for whoever has kept a descriptor, and not before the last writable mapping is gone."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.south.native.buffers import Memfd


@pytest.fixture
def buffer() -> Iterator[Memfd]:
    buffer = Memfd("test")
    buffer.truncate(4096)
    yield buffer
    buffer.close()


def test_a_buffer_that_may_be_written_through_a_mapping_is_not_sealed(buffer: Memfd) -> None:
    mapping = mmap.mmap(buffer.descriptor(write=True), 4096)
    with pytest.raises(KernelError) as refused:
        buffer.seal()
    assert refused.value.errno == E.EBUSY
    assert buffer.write_at(b"data", 0) == 4
    mapping.close()
    buffer.seal()
    assert buffer.read_at(4, 0) == b"data"


def test_a_seal_holds_for_a_descriptor_that_was_kept(buffer: Memfd) -> None:
    kept = os.dup(buffer.descriptor(write=True))
    reader = mmap.mmap(buffer.descriptor(write=False), 4096, prot=mmap.PROT_READ)
    buffer.seal()
    with pytest.raises(PermissionError):
        os.pwrite(kept, b"late", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(kept, 4096)
    assert reader[:4] == bytes(4)
    reader.close()
    os.close(kept)
