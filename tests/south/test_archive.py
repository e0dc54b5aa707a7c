"""Unpacking compressed archives: what Python's compressors made comes back, damage is a sentence, output bounded."""

from __future__ import annotations

import gzip
import lzma
import os
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitebox.south import archive
from pylitebox.south.archive import ArchiveFileError, compression, engine, unpack, unpacked

CONTENT = os.urandom(300_000) + bytes(3 << 20) + b"text " * 10_000


def zstd(data, **options):
    if sys.version_info >= (3, 14):
        from compression import zstd as package

        return package.compress(data)
    return pytest.importorskip("zstandard").ZstdCompressor(**options).compress(data)


PACK = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd}


def content_of(data, kind=None):
    place = 0

    def read(size):
        nonlocal place
        place += size
        return data[place - size : place]

    kind = kind or compression(data[: archive.MAGIC_SIZE])
    assert kind is not None
    return b"".join(unpacked(read, kind, engine(kind)))


@pytest.mark.parametrize("kind", PACK)
def test_what_was_packed_comes_back(kind, monkeypatch):
    pack = PACK[kind]
    packed = pack(CONTENT)
    assert compression(packed) == kind
    assert content_of(packed) == CONTENT
    assert content_of(pack(b"")) == b""
    assert content_of(packed + pack(b"and more")) == CONTENT + b"and more", "one may follow another"
    assert content_of(packed + bytes(1000)) == content_of(packed + b"garbage") == CONTENT
    monkeypatch.setattr(archive, "_READ", 7)
    assert content_of(pack(b"in small steps" * 100) + pack(b"!")) == b"in small steps" * 100 + b"!"


@pytest.mark.parametrize("kind", PACK)
def test_damage_is_a_sentence(kind):
    packed = PACK[kind](CONTENT)
    for size in (10, 1000, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ArchiveFileError, match="cut off"):
            content_of(packed[:size])
    damaged = packed[:20] + bytes(200) + packed[220:]
    with pytest.raises(ArchiveFileError, match=f"damaged {kind} data") if kind != "zstd" else _any_of(damaged):
        content_of(damaged)


class _any_of:
    """zstd frames need not have a checksum: what is inside is then just different."""

    def __init__(self, data):
        self.data = data

    def __enter__(self):
        pass

    def __exit__(self, kind, value, traceback):
        return kind is ArchiveFileError


@pytest.mark.parametrize("kind", PACK)
def test_no_step_makes_much(kind):
    packed = PACK[kind](bytes(64 << 20))
    assert len(packed) < 100_000
    place = 0

    def read(size):
        nonlocal place
        place += size
        return packed[place - size : place]

    steps = [len(piece) for piece in unpacked(read, kind, engine(kind))]
    assert sum(steps) == 64 << 20
    assert max(steps) <= 33 << 20
    if kind != "zstd" or sys.version_info >= (3, 14):
        assert max(steps) <= 1 << 20


def test_a_frame_of_repeated_bytes_is_fed_in_small_parts():
    """zstd's worst: four bytes stand for 128 KiB."""
    pytest.importorskip("zstandard")
    block = (2 | 131072 << 3).to_bytes(3, "little") + b"\0"  # an RLE block, not the last
    last = (3 | 131072 << 3).to_bytes(3, "little") + b"\0"
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block * 2000 + last
    steps = [len(piece) for piece in unpacked(_once(frame), "zstd", engine("zstd"))]
    assert sum(steps) == 2001 * 131072
    assert max(steps) <= 33 << 20


def _once(data):
    left = [data]
    return lambda size: left.pop() if left else b""


def test_a_window_that_is_too_large_is_refused():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    with pytest.raises(ArchiveFileError, match="damaged xz data"):
        content_of(lzma.compress(b"x", filters=filters))


def test_zstd_without_a_package_for_it_says_so(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(archive, "import_module", missing)
    with pytest.raises(ArchiveFileError, match=r"pip install 'pylitebox\[zstd\]'"):
        engine("zstd")


def files(tmp_path, data):
    (tmp_path / "source").write_bytes(data)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    return os.open(tmp_path / "source", flags), os.open(tmp_path / "spool", flags)


def test_the_spool(tmp_path):
    source, spool = files(tmp_path, gzip.compress(CONTENT))
    told = []
    assert unpack(source, spool, "gzip", engine("gzip"), len(CONTENT), told.append) == len(CONTENT)
    assert archive.read_at(spool, len(CONTENT), 0) == CONTENT
    assert archive.read_at(spool, 10, 5) == CONTENT[5:15]
    assert told[-1] == len(CONTENT)
    assert told == sorted(told)
    for fd in (source, spool):
        os.close(fd)


def test_the_spool_is_bounded(tmp_path):
    source, spool = files(tmp_path, gzip.compress(CONTENT))
    with pytest.raises(ArchiveFileError, match="unpacks to more than 1000000 bytes"):
        unpack(source, spool, "gzip", engine("gzip"), 1_000_000, lambda done: None)
    assert os.fstat(spool).st_size <= 1_000_000
    os.close(source)
    os.close(spool)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the host has no /dev/full")
def test_a_disk_that_is_full_is_a_sentence(tmp_path):
    source, spool = files(tmp_path, gzip.compress(CONTENT))
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(ArchiveFileError, match=r"no room .*TMPDIR"):
        unpack(source, full, "gzip", engine("gzip"), 1 << 30, lambda done: None)
    for fd in (source, spool, full):
        os.close(fd)


def test_reading_without_pread(tmp_path, monkeypatch):
    source, spool = files(tmp_path, b"0123456789")
    monkeypatch.delattr(os, "pread", raising=False)
    assert archive.read_at(source, 3, 4) == b"456"
    assert archive.read_at(source, 3, 0) == b"012"
    os.close(source)
    os.close(spool)
    with pytest.raises(ArchiveFileError, match="cannot be read"):
        archive.read_at(source, 1, 0)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(PACK)),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=5),
    cut=st.integers(0, 5000),
)
def test_any_damage_is_a_sentence_or_some_bytes(kind, changes, cut):
    packed = bytearray(PACK[kind](zlib.compress(b"a sample") * 40))
    for place, value in changes:
        packed[place % len(packed)] = value
    data = bytes(packed[: cut % len(packed) or None])
    try:
        content_of(data, kind)
    except ArchiveFileError:
        pass
