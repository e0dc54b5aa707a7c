"""Reading tar archives: from bytes at offsets to members (man 5 tar; POSIX pax; GNU tar's manual, "Basic Tar Format").

Understood are V7, ustar, pax and GNU headers: long names, base-256 numbers, pax and global pax records (path, linkpath,
size, uid, gid, mtime with fractions, SCHILY.xattr.*), and sparse files in the formats old GNU, 0.0, 0.1 and 1.0.

An archive may be hostile. Every number has a bound before it sizes anything, each loop moves on by at least one block
of the archive, and whatever is wrong is an :class:`ArchiveError` of one sentence. The archive ends at the first block
of zeros, or at its last byte between two members, as for tar(1); what comes behind is nobody's business.

Missing: multi-volume archives (an error); ACLs, SELinux labels and file flags (ignored); access times.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from pylitebox.abi.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, makedev

BLOCK = 512
#: Bytes of one extended header, and of a path or a link's target, at the most.
MAX_EXTENDED = 1 << 20
MAX_PATH = 4096
#: What a global header may say of all members.
_GLOBAL = (b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime")
#: Sizes and offsets stay below this.
MAX_SIZE = 1 << 62
#: Pieces of one sparse file.
MAX_PIECES = 1 << 16
#: Times stay below this, in seconds, forwards and backwards: nanoseconds then fit into 64 bits.
MAX_TIME = 1 << 33
_NO_ID = (1 << 32) - 1

#: name mode uid gid size mtime chksum typeflag linkname magic+version uname gname devmajor devminor prefix
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS = bytes(BLOCK)
_EVEN = int.from_bytes(b"\xff\0" * (BLOCK // 2), "little")
_KINDS = {b"2": S_IFLNK, b"3": S_IFCHR, b"4": S_IFBLK, b"5": S_IFDIR, b"6": S_IFIFO, b"D": S_IFDIR}

#: A piece of a sparse file: where it is in the file, how long it is, where its bytes are in the archive.
Piece = tuple[int, int, int]
ReadAt = Callable[[int, int], bytes]


class ArchiveError(Exception):
    """The archive is damaged, or uses what is not understood; the message is a sentence without its name."""


class Member:
    """One entry. ``mode`` has the type; ``hard`` is what a hard link leads to, ``target`` a symbolic link's text;
    ``offset`` is where its data is, if ``pieces`` doesn't say that."""

    __slots__ = (
        "gid", "hard", "mode", "mtime_ns", "name", "offset", "pieces", "rdev", "size", "target", "uid", "xattrs",
    )  # fmt: skip

    def __init__(self, name: bytes, mode: int) -> None:
        self.name = name
        self.mode = mode
        self.uid = self.gid = self.size = self.mtime_ns = self.offset = self.rdev = 0
        self.hard: bytes | None = None
        self.target = b""
        self.pieces: list[Piece] | None = None
        self.xattrs: dict[bytes, bytes] | None = None


class Tar:
    """``read_at(size, offset)`` gives the bytes of the archive, which has ``size`` of them."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._window, self._window_start = b"", 0
        self._global: dict[bytes, bytes] = {}

    def members(self) -> Iterator[Member]:
        """Each member in its order. ArchiveError."""
        if 0 < self._size < BLOCK:
            raise ArchiveError("is no tar archive")
        offset = 0
        extended: dict[bytes, bytes] = {}
        sparse_keys: list[tuple[bytes, bytes]] = []
        together = 0  # bytes of the extended headers of one member
        while offset < self._size:
            block = self._bytes(offset, BLOCK)
            if block == _ZEROS:
                break
            fields = _checked(block, offset)
            kind, size = fields[7], _size(fields[4])
            offset += BLOCK
            if kind in b"xXgLK":
                data = self._extension(offset, size)
                together += size
                if together > 4 * MAX_EXTENDED:
                    raise ArchiveError(f"has extended headers of more than {4 * MAX_EXTENDED} bytes")
                if kind == b"g":
                    self._global.update((key, value) for key, value in _records(data)[0].items() if key in _GLOBAL)
                elif kind in b"LK":
                    extended[b"path" if kind == b"L" else b"linkpath"] = data.partition(b"\0")[0]
                else:
                    found, more = _records(data)
                    extended.update(found)
                    sparse_keys += more
                offset += _blocks(size)
                continue
            known = {**self._global, **extended} if self._global else extended
            member, offset = self._member(fields, block, offset, known, sparse_keys)
            if together:
                extended, sparse_keys, together = {}, [], 0
            if member is not None:
                yield member
        if extended:
            raise ArchiveError("is cut off behind an extended header")

    # -- one member -------------------------------------------------------------------------------------------

    def _member(
        self,
        fields: tuple[bytes, ...],
        block: bytes,
        offset: int,
        extended: dict[bytes, bytes],
        sparse_keys: list[tuple[bytes, bytes]],
    ) -> tuple[Member | None, int]:
        """The member whose header is in ``fields``, and where the next header is."""
        kind, gnu = fields[7], fields[9].startswith(b"ustar ")
        if kind == b"M":
            raise ArchiveError("is a part of a multi-volume archive")
        name = extended.get(b"path") or _name(fields, gnu=gnu)
        data_size = _decimal(extended[b"size"]) if extended.get(b"size") else _size(fields[4])
        if kind == b"1" or (kind in _KINDS and kind != b"D"):
            data_size = 0
        if offset + data_size > self._size:
            raise ArchiveError(f"is cut off within {shown(name)}")
        if kind == b"V":
            return None, offset + _blocks(data_size)
        mode = _KINDS.get(kind, S_IFREG)
        if kind in b"\x000" and name.endswith(b"/"):  # V7 knows no directories
            mode = S_IFDIR
        member = Member(name, mode | _number(fields[1]) & 0o7777)
        member.uid, member.gid = _id(extended.get(b"uid"), fields[2]), _id(extended.get(b"gid"), fields[3])
        member.mtime_ns = _time(extended[b"mtime"]) if extended.get(b"mtime") else _seconds(_number(fields[5]))
        member.offset, member.size = offset, data_size
        link = extended.get(b"linkpath") or fields[8].partition(b"\0")[0]
        _short(name)
        if kind == b"1":
            member.hard = _short(link)
        elif kind == b"2":
            member.target, member.size = _short(link), len(link)
        elif kind in b"34":
            member.rdev = makedev(_number(fields[12]) & 0xFFFFFFFF, _number(fields[13]) & 0xFFFFFFFF)
        elif mode == S_IFREG:
            offset = self._sparse(member, kind, block, extended, sparse_keys)
        if extended:
            member.xattrs = _attributes(extended)
        return member, offset + _blocks(data_size) if kind != b"S" else offset

    def _sparse(
        self,
        member: Member,
        kind: bytes,
        block: bytes,
        extended: dict[bytes, bytes],
        keys: list[tuple[bytes, bytes]],
    ) -> int:
        """Fill in size and pieces of a sparse file; where its data (of the old format: the next header) is."""
        start, stored = member.offset, member.size
        if kind == b"S":
            return self._old_sparse(member, block)
        if extended.get(b"GNU.sparse.major") == b"1" and extended.get(b"GNU.sparse.minor") == b"0":
            real = _decimal(extended.get(b"GNU.sparse.realsize", b""))
            numbers, used = self._map(start, stored)
            _place(member, real, numbers, start + used, start + stored)
        elif b"GNU.sparse.map" in extended or keys:
            real = _decimal(extended.get(b"GNU.sparse.size", b"") or extended.get(b"GNU.sparse.realsize", b""))
            texts = [value for _, value in keys] if keys else extended[b"GNU.sparse.map"].split(b",")
            if len(texts) > 2 * MAX_PIECES:
                raise ArchiveError("has a sparse file of too many pieces")
            _place(member, real, [_decimal(text) for text in texts if text], start, start + stored)
        if member.pieces is not None:
            member.name = _short(extended.get(b"GNU.sparse.name") or member.name)
        return start

    def _map(self, offset: int, size: int) -> tuple[list[int], int]:
        """The map in front of a version 1.0 sparse file's data: its numbers, and how many bytes it takes."""
        text = self._bytes(offset, min(size, BLOCK))
        wanted, _, _ = text.partition(b"\n")
        count = _decimal(wanted)
        if count > MAX_PIECES:
            raise ArchiveError("has a sparse file of too many pieces")
        while text.count(b"\n") < 2 * count + 1:
            if len(text) >= size or len(text) > MAX_EXTENDED * 4:
                raise ArchiveError("has a sparse file whose map is cut off")
            text += self._bytes(offset + len(text), min(size - len(text), 64 * BLOCK))
        numbers = text.split(b"\n", 2 * count + 1)
        used = len(text) - len(numbers[-1])
        return [_decimal(number) for number in numbers[1 : 2 * count + 1]], _blocks(used)

    def _old_sparse(self, member: Member, block: bytes) -> int:
        """The map of an old GNU sparse file is in its header and in blocks behind it; the next header's offset."""
        offset, stored = member.offset, member.size
        numbers: list[int] = []
        entries, goes_on = block[386:482], block[482]
        while True:
            for place in range(0, len(entries) - 23, 24):
                if not entries[place]:
                    break
                numbers += [_number(entries[place : place + 12]), _number(entries[place + 12 : place + 24])]
            if not goes_on:
                break
            if len(numbers) > 2 * MAX_PIECES:
                raise ArchiveError("has a sparse file of too many pieces")
            more = self._bytes(offset, BLOCK)
            entries, goes_on = more[:504], more[504]
            offset += BLOCK
        if offset + stored > self._size:
            raise ArchiveError(f"is cut off within {shown(member.name)}")
        _place(member, _size(block[483:495]), numbers, offset, offset + stored)
        return offset + _blocks(stored)

    # -- bytes ------------------------------------------------------------------------------------------------

    def _bytes(self, offset: int, size: int) -> bytes:
        """Exactly so many bytes, which the caller has bounded."""
        place = offset - self._window_start
        if place < 0 or place + size > len(self._window):
            parts = []
            start, wanted = offset, max(size, 64 * BLOCK)
            while wanted > 0:
                part = self._read_at(wanted, start)
                if not part:
                    break
                parts.append(part)
                start, wanted = start + len(part), wanted - len(part)
            self._window, self._window_start, place = b"".join(parts), offset, 0
        data = self._window[place : place + size]
        if len(data) < size:
            raise ArchiveError("is cut off within a header")
        return data

    def _extension(self, offset: int, size: int) -> bytes:
        if size > MAX_EXTENDED:
            raise ArchiveError(f"has an extended header of more than {MAX_EXTENDED} bytes")
        return self._bytes(offset, size)


# -- fields -----------------------------------------------------------------------------------------------------


def _checked(block: bytes, offset: int) -> tuple[bytes, ...]:
    """The fields of a header, whose checksum is right."""
    fields = _HEADER.unpack(block)
    digits = fields[6].strip(b"\0 ")
    wanted = int(digits, 8) if digits.isdigit() and not (b"8" in digits or b"9" in digits) else -1
    if (_sum(block) - sum(fields[6]) + 256 - wanted) % 65535 or wanted < 0:
        signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 256
        if signed != wanted:  # as old tars summed
            raise ArchiveError(f"has a damaged header at byte {offset}" if offset else "is no tar archive")
    return fields


def _sum(block: bytes) -> int:
    """The sum of the bytes modulo 65535, in a quarter of the time that ``sum`` takes: the even and the odd bytes are
    added as one large number each, and the digits of that to the base 65536 by the modulo."""
    number = int.from_bytes(block, "little")
    return ((number & _EVEN) + (number >> 8 & _EVEN)) % 65535


def _number(field: bytes) -> int:
    """A number field: octal text, or base 256 (GNU) if the first bit is set."""
    text = field.rstrip(b"\0 ")
    if text.isdigit() and not (b"8" in text or b"9" in text):
        return int(text, 8)
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        value = value - (1 << bits) if value >> (bits - 2) & 1 else value & (1 << (bits - 1)) - 1
    else:
        text = field.partition(b"\0")[0].strip(b" ")
        if not text:
            return 0
        if not text.isdigit() or b"8" in text or b"9" in text:
            raise ArchiveError("has a header whose numbers are damaged")
        value = int(text, 8)
    if not -MAX_SIZE < value < MAX_SIZE:
        raise ArchiveError("has a number that is out of range")
    return value


def _size(field: bytes) -> int:
    value = _number(field)
    if value < 0:
        raise ArchiveError("has a number that is out of range")
    return value


def _decimal(text: bytes) -> int:
    """A number of a pax record."""
    if not text.isdigit() or len(text) > 19:
        raise ArchiveError("has a pax record whose number is damaged")
    value = int(text)
    if value >= MAX_SIZE:
        raise ArchiveError("has a number that is out of range")
    return value


def _id(text: bytes | None, field: bytes) -> int:
    """A uid or gid; what is none on Linux is nobody's."""
    value = _decimal(text) if text else _number(field)
    return value if 0 <= value < _NO_ID else 65534


def _seconds(value: int) -> int:
    return max(-MAX_TIME, min(value, MAX_TIME)) * 10**9


def _time(text: bytes) -> int:
    """Nanoseconds from seconds with a fraction."""
    negative = text.startswith(b"-")
    whole, _, fraction = text.lstrip(b"-").partition(b".")
    digits = fraction[:9].ljust(9, b"0")
    if not digits.isdigit():
        raise ArchiveError("has a pax record whose number is damaged")
    nanoseconds = _seconds(_decimal(whole)) + int(digits)
    return -nanoseconds if negative else nanoseconds


def _short(name: bytes) -> bytes:
    if len(name) > MAX_PATH:
        raise ArchiveError(f"has a name of more than {MAX_PATH} bytes")
    return name


def _name(fields: tuple[bytes, ...], *, gnu: bool) -> bytes:
    name = fields[0].partition(b"\0")[0]
    prefix = fields[14].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and not gnu and fields[9].startswith(b"ustar") else name


def _records(data: bytes) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]:
    """The records of a pax header (``LENGTH KEY=VALUE\\n``); and those of sparse format 0.0, whose keys repeat."""
    found: dict[bytes, bytes] = {}
    repeated: list[tuple[bytes, bytes]] = []
    place = 0
    while place < len(data) and data[place]:
        space = data.find(b" ", place, place + 20)
        digits = data[place:space] if space > 0 else b""
        end = place + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not place < space < end <= len(data) or data[end - 1] != 0x0A or not equals:
            raise ArchiveError("has a damaged pax header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            repeated.append((key, value))
        else:
            found[key] = value
        place = end
    if len(repeated) > 2 * MAX_PIECES:
        raise ArchiveError("has a sparse file of too many pieces")
    return found, repeated


def _attributes(extended: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    prefix = b"SCHILY.xattr."
    found = {key[len(prefix) :]: value for key, value in extended.items() if key.startswith(prefix)}
    return found or None


def _place(member: Member, real: int, numbers: list[int], start: int, end: int) -> None:
    """Make ``member`` a sparse file of ``real`` bytes: ``numbers`` are offsets and lengths in turn, whose bytes follow
    each other in the archive from ``start`` to ``end``."""
    pieces: list[Piece] = []
    last = 0
    for offset, length in zip(numbers[::2], numbers[1::2], strict=False):
        if offset < last or length < 0 or offset + length > real or start + length > end:
            raise ArchiveError(f"has a damaged map of the sparse file {shown(member.name)}")
        if length:
            pieces.append((offset, length, start))
        last, start = offset + length, start + length
    if len(pieces) > MAX_PIECES:
        raise ArchiveError("has a sparse file of too many pieces")
    if not 0 <= real < MAX_SIZE:
        raise ArchiveError("has a number that is out of range")
    member.size, member.pieces = real, pieces


def _blocks(size: int) -> int:
    """``size``, rounded up to whole blocks."""
    return (size + BLOCK - 1) & -BLOCK


def shown(name: bytes) -> str:
    """A name for a message: nothing in it that a terminal would act on."""
    text = repr(name[:200].decode("utf-8", "backslashreplace"))
    return text if len(name) <= 200 else text + "..."

