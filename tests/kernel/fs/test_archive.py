"""Tar archives as a file system: what the index makes of members, what is read and mapped, and hostile archives."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi.stat import S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, makedev
from pylitebox.kernel.errors import WouldBlock
from pylitebox.kernel.fs import archivefs, tar
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.archivefs import ArchiveFs, Index
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.kernel.fs.tar import ArchiveError
from pylitebox.kernel.fs.vfs import MS_NODEV
from pylitebox.south.mock.host import Disk, Entry, MockBuffer, MockDirectory
from tests.kernel.fs.support import Tree, errno_of, opened

NOW = 1_700_000_000 * 10**9
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name, data=None, **attributes):
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    for key, value in attributes.items():
        setattr(info, key, value)
    info.size = len(data or b"")
    return info, data


def directory(name, **attributes):
    return member(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **attributes})


def symlink(name, target):
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def archive(*members, kind="pax", **options):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[kind], **options) as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data or b""))
    return buffer.getvalue()


def index_of(data):
    return Index.read(lambda size, offset: data[offset : offset + size], len(data), NOW)


def tree(data, *, layer=True, slow=False, disk=None):
    """A tree of an archive, beneath a copy-on-write layer as it is used."""
    index = index_of(data)
    file = MockDirectory({"a": Entry(data, 0o644, slow=slow)}, disk).open(b"a")
    return tree_of(file, index, layer=layer)


def tree_of(file, index, *, layer=True):
    def make(kernel):
        archive = ArchiveFs(kernel, file, index)
        return OverlayFs(kernel, archive) if layer else archive

    made = Tree(make)
    made.platform.shared_buffer = MockBuffer  # no descriptor of the host's
    return made


def stat(t, path, *, follow=False):
    return ops.stat(ops.resolve(t.root, path, follow=follow))


def names(t, path=b"/"):
    file = opened(ops.open(t.root, path, fc.O_RDONLY | fc.O_DIRECTORY))
    try:
        return sorted(name for name, _, _ in file.readdir() if name not in (b".", b".."))
    finally:
        file.put()


def read(t, path, size=1 << 20):
    file = opened(ops.open(t.root, path, fc.O_RDONLY))
    try:
        return file.pread(size, 0)
    finally:
        file.put()


def fault(*members, **options):
    with pytest.raises(ArchiveError) as raised:
        index_of(archive(*members, **options))
    assert "\n" not in str(raised.value)
    return str(raised.value)


# -- members ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_each_kind_of_file(kind):
    t = tree(
        archive(
            directory("./", mode=0o751, uid=3, gid=4, mtime=5),
            directory("./d", mode=0o1777),
            member("./d/f", b"data", uid=1000, gid=1001, mtime=1_500_000_000, mode=0o4755),
            hard("./d/h", "./d/f"),
            symlink("./l", "d/f"),
            member("./p", type=tarfile.FIFOTYPE, mode=0o600),
            member("./c", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            kind=kind,
        )
    )
    root = stat(t, b"/")
    assert (root.mode, root.uid, root.gid, root.mtime_ns) == (S_IFDIR | 0o751, 3, 4, 5 * 10**9)
    assert root.nlink == 3
    f, h = stat(t, b"/d/f"), stat(t, b"/d/h")
    assert (f.mode, f.uid, f.gid, f.size, f.nlink) == (S_IFREG | 0o4755, 1000, 1001, 4, 2)
    assert f.mtime_ns == 1_500_000_000 * 10**9
    assert (f.ino, f.dev) == (h.ino, h.dev)
    assert stat(t, b"/d").mode == S_IFDIR | 0o1777
    assert stat(t, b"/l").mode & S_IFMT == S_IFLNK
    assert read(t, b"/l") == b"data"
    assert stat(t, b"/p").mode == S_IFIFO | 0o600
    c = stat(t, b"/c")
    assert (c.mode, c.rdev) == (S_IFCHR | 0o666, makedev(1, 3))
    assert names(t) == [b"c", b"d", b"l", b"p"]


def test_a_device_of_an_archive_cannot_be_opened():
    t = tree(archive(member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)))
    t.namespace.mounts[0].flags |= MS_NODEV
    assert errno_of(ops.open, t.root, b"/null", fc.O_RDWR) == E.EACCES


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_long_names_large_numbers_and_odd_bytes(kind):
    deep = "/".join(["x" * 200] * 5) + "/" + "y" * 255
    odd = b"caf\xe9\xff".decode("utf-8", "surrogateescape")
    t = tree(
        archive(
            member(deep, b"deep"), member("big", b"", uid=3_000_000_000, mtime=1 << 32), symlink("far", deep),
            member(odd, b"odd"), kind=kind, errors="surrogateescape", encoding="utf-8",
        )
    )  # fmt: skip
    assert read(t, b"/" + deep.encode()) == b"deep"
    assert ops.readlink(t.root, b"/far") == deep.encode()
    assert read(t, b"/caf\xe9\xff") == b"odd"
    assert stat(t, b"/big").uid == 3_000_000_000
    assert stat(t, b"/big").mtime_ns == (1 << 32) * 10**9
    assert stat(t, b"/" + b"x" * 200).mode == S_IFDIR | 0o755, "a parent that is missing is made"


def test_fractions_of_seconds_and_times_before_1970():
    data = archive(
        member("a", pax_headers={"mtime": "1234567890.123456789"}), member("b", pax_headers={"mtime": "-1.5"}),
        member("c", pax_headers={"mtime": "99999999999999"}),
    )  # fmt: skip
    t = tree(data)
    assert stat(t, b"/a").mtime_ns == 1234567890_123456789
    assert stat(t, b"/b").mtime_ns == -1_500_000_000
    assert stat(t, b"/c").mtime_ns == tar.MAX_TIME * 10**9


def test_global_records_hold_until_a_members_own():
    t = tree(archive(member("a"), member("b", pax_headers={"uid": "7"}), pax_headers={"uid": "5", "comment": "x"}))
    assert (stat(t, b"/a").uid, stat(t, b"/b").uid) == (5, 7)
    first = archive(member("a"), member("b"), pax_headers={"uid": "5"})
    first = first[: first.rfind(b"ustar") // 512 * 512 + 512]
    t = tree(first + archive(member("c"), pax_headers={"uid": "6"}))
    assert [stat(t, name).uid for name in (b"/a", b"/b", b"/c")] == [5, 5, 6]


def test_an_extended_header_without_its_member():
    whole = archive(member("a", pax_headers={"comment": "x"}))
    with pytest.raises(ArchiveError, match="cut off behind an extended header"):
        index_of(whole[:1024] + bytes(1024))


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=512, max_size=512))
def test_sums(block):
    assert tar._sum(block) == sum(block) % 65535
    assert tar._sum(b"\xff" * 512) == 512 * 255 % 65535


def test_extended_attributes_through_the_layer():
    headers = {"SCHILY.xattr.user.color": "red", "SCHILY.xattr.security.selinux": "x", "SCHILY.xattr.user.n": "1"}
    t = tree(archive(member("a", b"1", pax_headers=headers), member("b")))
    a, b = ops.resolve(t.root, b"/a"), ops.resolve(t.root, b"/b")
    assert sorted(ops.listxattr(t.root, a)) == [b"user.color", b"user.n"]
    assert ops.getxattr(t.root, a, b"user.color") == b"red"
    assert errno_of(ops.getxattr, t.root, a, b"user.none") == E.ENODATA
    assert ops.listxattr(t.root, b) == []
    ops.setxattr(t.root, a, b"user.more", b"2", 0)
    ops.removexattr(t.root, a, b"user.n")
    assert sorted(ops.listxattr(t.root, a)) == [b"user.color", b"user.more"]
    assert ops.getxattr(t.root, a, b"user.color") == b"red"
    ops.removexattr(t.root, a, b"user.color")
    ops.removexattr(t.root, a, b"user.more")
    assert ops.listxattr(t.root, a) == [], "and the lower file's do not come back"


def test_names_begin_at_the_root():
    t = tree(archive(member("/abs", b"1"), member("./dot//x/./y", b"2"), member("plain", b"3")))
    assert names(t) == [b"abs", b"dot", b"plain"]
    assert read(t, b"/dot/x/y") == b"2"
    assert stat(t, b"/dot").mtime_ns == NOW


def test_the_last_of_one_name_wins():
    t = tree(
        archive(
            member("f", b"old"), hard("keep", "f"), member("./f", b"newer"),
            directory("d", mode=0o700), member("d/in", b"1"), directory("d", mode=0o711),
            directory("gone"), member("gone/in", b"2"), member("gone", b"file"),
            member("g", b"3"), member("g/below", b"4"),
        )
    )  # fmt: skip
    assert read(t, b"/f") == b"newer"
    assert (read(t, b"/keep"), stat(t, b"/keep").nlink) == (b"old", 1)
    assert (stat(t, b"/d").mode, read(t, b"/d/in")) == (S_IFDIR | 0o711, b"1")
    assert read(t, b"/gone") == b"file"
    assert read(t, b"/g/below") == b"4"
    assert stat(t, b"/").nlink == 4


def test_names_through_symbolic_links_stay_inside():
    t = tree(
        archive(
            directory("usr/bin"), symlink("bin", "usr/bin"), member("bin/sh", b"sh"),
            symlink("up", "../../usr"), member("up/x", b"x"), symlink("abs", "/usr/bin"), member("abs/y", b"y"),
            symlink("loop", "loop"), member("loop/z", b"z"), symlink("nowhere", "/no/such"), member("nowhere/w", b"w"),
        )
    )  # fmt: skip
    assert ops.readlink(t.root, b"/bin") == b"usr/bin"
    assert (read(t, b"/usr/bin/sh"), read(t, b"/usr/x"), read(t, b"/usr/bin/y")) == (b"sh", b"x", b"y")
    assert (read(t, b"/loop/z"), read(t, b"/nowhere/w")) == (b"z", b"w"), "what leads nowhere makes room"


def test_whiteouts_are_ordinary_files():
    assert names(tree(archive(member("a"), member(".wh.a")))) == [b".wh.a", b"a"]


def test_what_is_wrong_is_one_sentence():
    assert "'../x'" in fault(member("../x"))
    assert "'a/../b'" in fault(member("a/../b"))
    assert "name no file can have" in fault(member("n" * 256))
    assert "'b' to 'a', which is not in it before" in fault(hard("b", "a"))
    assert "which is a directory" in fault(directory("a"), hard("b", "a"))
    assert "leads nowhere" in fault(symlink("a", ""))
    assert "root that is no directory" in fault(member(".", b"x"))
    assert "multi-volume" in fault(member("a", type=b"M"))
    assert "more than 4096 bytes" in fault(member("d/" * 2100 + "x"))
    for data, sentence in ((b"", "holds no file"), (b"x" * 600, "is no tar archive"), (b"x", "is no tar archive")):
        with pytest.raises(ArchiveError, match=sentence):
            index_of(data)


def test_terminals_are_safe_from_names():
    assert "\x1b" not in fault(member("../\x1b[31m"))


def test_damage_and_the_end():
    data = archive(member("a", b"x" * 1000), member("b"), kind="gnu")
    assert len(index_of(data)) == len(index_of(data[:2048])) == 3
    for size in (513, 1511, 1537, 2047):
        with pytest.raises(ArchiveError, match="cut off"):
            index_of(data[:size])
    damaged = bytearray(data)
    damaged[1536 + 5] ^= 1
    with pytest.raises(ArchiveError, match="damaged header at byte 1536"):
        index_of(bytes(damaged))


def test_numbers_in_base_256_are_bounded():
    def with_size(field):
        header = bytearray(archive(member("a"), kind="gnu")[:512])
        header[124:136] = field
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + bytes(1024)

    for field in (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\xff" + bytes(11), b"77777777777\0", b"9" * 11 + b"\0"):
        with pytest.raises(ArchiveError):
            index_of(with_size(field))
    assert len(index_of(with_size(b"\x80" + bytes(11)))) == 2


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("MAX_FILES", 5, "more than 5 files"),
        ("MAX_TEXT", 3, "names and attributes"),
        ("MAX_STEPS", 3, "too many names that lead through symbolic links"),
    ],
)
def test_bounds_of_the_index(monkeypatch, limit, value, sentence):
    monkeypatch.setattr(archivefs, limit, value)
    assert sentence in fault(directory("d"), symlink("l", "d"), *(member(f"l/{i}/x") for i in range(9)))


def test_a_great_many_directories_in_a_few_names_count(monkeypatch):
    monkeypatch.setattr(archivefs, "MAX_FILES", 1000)
    assert "more than 1000 files" in fault(*(member(f"{i}/" + "a/" * 500) for i in range(3)))


def test_names_of_sparse_files_are_bounded(monkeypatch):
    """4096 paths of directories are remembered: those of a megabyte were four gigabytes."""
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1", "GNU.sparse.name": "d/" * 2100 + "x"}
    assert "more than 4096 bytes" in fault(member("a", b"1", pax_headers=headers))


def test_hard_links_are_bounded(monkeypatch):
    monkeypatch.setattr(archivefs, "MAX_FILES", 5)
    assert len(index_of(archive(member("f"), *(hard(f"{i}", "f") for i in range(5))))) == 2
    assert "more than 5 hard links" in fault(member("f"), *(hard(f"{i}", "f") for i in range(6)))


def test_extended_headers_are_bounded(monkeypatch):
    monkeypatch.setattr(tar, "MAX_EXTENDED", 2000)
    assert "extended header of more than" in fault(member("a", pax_headers={"comment": "x" * 3000}))
    block = archive(member("a", pax_headers={"comment": "x" * 1500}))[:2048]
    with pytest.raises(ArchiveError, match="extended headers of more than"):
        index_of(block * 10)


# -- sparse files -----------------------------------------------------------------------------------------------


def gnu_tar(tmp_path, *options):
    """A sparse file, and an archive of it made by tar(1) without --hole-detection's dependence on the disk."""
    if shutil.which("tar") is None:
        pytest.skip("tar is missing")
    pieces = [(0, b"begin"), (1 << 20, b"middle" * 3000), (5 << 20, b"x")] + [(i << 16, b"p") for i in range(90, 140)]
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
        file.truncate(11 << 20)
    (tmp_path / "after").write_bytes(b"after")
    command = ["tar", "-cSf", tmp_path / "a.tar", "--hole-detection=raw", *options, "-C", tmp_path, "sparse", "after"]
    subprocess.run(command, check=True)
    return path.read_bytes(), (tmp_path / "a.tar").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu",),
        ("--format=posix", "--sparse-version=0.0"),
        ("--format=posix", "--sparse-version=0.1"),
        ("--format=posix", "--sparse-version=1.0"),
    ],
    ids=" ".join,
)
def test_sparse_files(tmp_path, options):
    content, data = gnu_tar(tmp_path, *options)
    assert len(data) < len(content) // 2
    t = tree(data)
    assert names(t) == [b"after", b"sparse"]
    assert read(t, b"/after") == b"after"
    facts = stat(t, b"/sparse")
    assert facts.size == len(content)
    assert facts.blocks * 512 < len(content) // 2
    file = opened(ops.open(t.root, b"/sparse", fc.O_RDONLY))
    got = b""
    while part := file.pread(777_777, len(got)):
        got += part
    assert got == content
    for offset in (0, 1 << 16, (1 << 20) + 5, 6 << 20, len(content) - 1):
        hole = file.seek(offset, 4)
        assert not any(content[hole : hole + 512])
        nothing = errno_of(file.seek, offset, 3) == E.ENXIO
        assert not any(content[offset : len(content) if nothing else file.seek(offset, 3)])
    source = file.map_source()
    assert source.read_at(len(content), 0) == content
    source.close()


def test_a_file_of_a_great_many_pieces_is_read_in_parts(monkeypatch):
    """So that the loop goes on between them."""
    monkeypatch.setattr(archivefs, "_MOST_PARTS", 10)
    headers = {"GNU.sparse.map": ",".join(f"{2 * i},1" for i in range(100)), "GNU.sparse.size": "200"}
    file = opened(ops.open(tree(archive(member("f", b"x" * 100, pax_headers=headers))).root, b"/f", fc.O_RDONLY))
    assert file.read(200) == b"x\0" * 5
    assert b"".join(iter(lambda: file.read(200), b"")) == b"x\0" * 95
    assert file.map_source().read_at(200, 0) == b"x\0" * 100


def test_damaged_maps_of_sparse_files():
    for text in ("1,2,3", "5,1,0,1", "0,99999", "0,1,1,99999999999999999999", "-1,1", "0,x"):
        headers = {"GNU.sparse.map": text, "GNU.sparse.size": "100", "GNU.sparse.name": "s"}
        if text == "1,2,3":  # a lone offset says nothing
            index_of(archive(member("a", b"12", pax_headers=headers)))
        else:
            fault(member("a", b"12", pax_headers=headers))
    for data in (b"", b"1\n", b"9" * 600, b"x\n", b"70000\n" + b"0\n" * 300, b"1\n0\n9999\n"):
        headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}
        fault(member("a", data, pax_headers=headers))


# -- files of the tree ------------------------------------------------------------------------------------------


def test_everything_can_be_changed_above_it():
    t = tree(archive(member("d/f", b"lower"), member("g", b"g" * 100_000)))
    file = opened(ops.open(t.root, b"/d/f", fc.O_RDWR))
    assert file.pwrite(b"UP", 3) == 2
    assert read(t, b"/d/f") == b"lowUP"
    ops.unlink(t.root, b"/g")
    ops.rename(t.root, b"/d", b"/e")
    assert names(t) == [b"e"]
    assert errno_of(ops.open, tree(archive(member("x")), layer=False).root, b"/x", fc.O_WRONLY) == E.EROFS


def test_permissions_are_the_archives():
    t = tree(archive(member("secret", b"s", mode=0o600, uid=5), directory("open"), member("open/mine", b"m", uid=1000)))
    user = t.user(1000)
    assert errno_of(ops.open, user, b"/secret", fc.O_RDONLY) == E.EACCES
    assert errno_of(ops.open, user, b"/open/mine", fc.O_RDWR) == 0


def test_a_mapped_file_is_copied_once_and_copies_are_bounded(monkeypatch):
    monkeypatch.setattr(archivefs, "MAX_KEPT", 10_000)
    monkeypatch.setattr(archivefs, "MAX_MAPPED", 9_000)
    t = tree(archive(*(member(f"f{i}", bytes([i]) * 4000) for i in range(5)), member("big", bytes(9001)), member("no")))
    files = [opened(ops.open(t.root, b"/f%d" % i, fc.O_RDONLY)) for i in range(5)]
    first, again = files[0].map_source(), files[0].map_source()
    assert first.key() == again.key()
    assert first.read_at(9999, 0) == bytes(4000)
    sources = [file.map_source() for file in files]
    lower = t.filesystem.lower
    assert list(lower._buffers) == [lower.index.entries[0][name] for name in (b"f3", b"f4")]
    assert lower._kept == 8000
    assert [source.read_at(1, 3999) for source in sources] == [bytes([i]) for i in range(5)], "mapped ones stay"
    assert files[0].map_source().key() != first.key()
    assert errno_of(ops.open(t.root, b"/big", fc.O_RDONLY).map_source) == E.ENOMEM
    assert ops.open(t.root, b"/no", fc.O_RDONLY).map_source().read_at(9, 0) == b""
    assert errno_of(ops.open(t.root, b"/f1", fc.O_RDWR).inode.lower.map_source, write=True) == E.EACCES


def test_holes_of_a_mapped_file_count(monkeypatch):
    """Whoever maps and reads them has the host fill them with memory, which stays as long as the copy does."""
    monkeypatch.setattr(archivefs, "MAX_KEPT", 10_000)
    monkeypatch.setattr(archivefs, "MAX_MAPPED", 9_000)

    def sparse(name, size):
        return member(name, b"x", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(size)})

    t = tree(archive(sparse("a", 6000), sparse("b", 6000), sparse("c", 1 << 40)))
    for name in (b"/a", b"/b"):
        assert opened(ops.open(t.root, name, fc.O_RDONLY)).map_source().read_at(2, 0) == b"x\0"
    assert len(t.filesystem.lower._buffers) == 1
    assert t.filesystem.lower._kept == 6000
    assert errno_of(opened(ops.open(t.root, b"/c", fc.O_RDONLY)).map_source) == E.ENOMEM


def test_a_mapping_that_waits_for_the_disk_goes_on_where_it_was():
    disk = Disk()
    content = os.urandom((5 << 20) // 2)
    t = tree(archive(member("f", content)), slow=True, disk=disk)
    file = opened(ops.open(t.root, b"/f", fc.O_RDONLY))
    waits = 0
    while True:
        try:
            source = file.map_source()
            break
        except WouldBlock:
            waits += 1
            assert file.wait_queues()
            assert disk.serve()
    assert waits == 3, "one for each piece: what was read is kept"
    assert source.read_at(len(content), 0) == content


def test_an_archive_that_is_cut_while_it_is_used():
    data = archive(member("f", b"x" * 5000))
    index = index_of(data)
    file = MockDirectory({"a": data[:2048]}).open(b"a")
    t = tree_of(file, index)
    assert len(read(t, b"/f")) < 5000
    assert errno_of(opened(ops.open(t.root, b"/f", fc.O_RDONLY)).map_source) == E.EIO


# -- hostile archives -------------------------------------------------------------------------------------------


def samples():
    members = [
        directory("./d"), member("./d/f", b"content" * 100, pax_headers={"mtime": "5.5", "SCHILY.xattr.user.a": "b"}),
        hard("./d/h", "./d/f"), symlink("l", "d"), member("l/through", b"1"), member("n" * 150, b"2"),
        member("sp", b"hello", pax_headers={"GNU.sparse.map": "0,2,7,3", "GNU.sparse.size": "20"}),
        member("s1", b"2\n0\n2\n9\n3\n".ljust(512, b"\0") + b"hello",
               pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "30"}),
    ]  # fmt: skip
    old = bytearray(archive(member("old", b"data", type=b"S"), kind="gnu")[:512])
    old[386:434] = b"%011o\0%011o\0" % (0, 2) + b"%011o\0%011o\0" % (100, 2)
    old[482], old[483:495] = 1, b"%011o\0" % 200
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    extension = (b"%011o\0%011o\0" % (150, 0)).ljust(512, b"\0")
    sparse = bytes(old) + extension + b"data".ljust(512, b"\0")
    return [archive(*members, kind="pax"), archive(*members, kind="gnu"), sparse + archive(*members[:2])]


SAMPLES = samples()


def use(data):
    """Index an archive, and look at everything in it."""
    try:
        t = tree(data)
    except ArchiveError:
        return
    places = [b"/"]
    while places:
        path = places.pop()
        facts = stat(t, path)
        struct.pack("<qqI", facts.mtime_ns, facts.size, facts.mode)
        kind = facts.mode & S_IFMT
        if kind == S_IFDIR:
            places += [path.rstrip(b"/") + b"/" + name for name in names(t, path)]
        elif kind == S_IFREG:
            inode = ops.resolve(t.root, path).inode
            assert len(read(t, path, 5000)) <= facts.size
            for hole in (False, True):
                if facts.size and not errno_of(inode.seek_data, 0, hole=hole):
                    assert 0 <= inode.seek_data(0, hole=hole) <= facts.size
            if facts.size < 1 << 30:
                errno_of(opened(ops.open(t.root, path, fc.O_RDONLY)).map_source)
        elif kind == S_IFLNK:
            assert ops.readlink(t.root, path)
        ops.listxattr(t.root, ops.resolve(t.root, path, follow=False))


def resummed(data):
    """With right checksums in front of whatever looks like a header, so that damage gets past them."""
    data = bytearray(data)
    for place in range(0, len(data) - 511, 512):
        if data[place + 257 : place + 262] == b"ustar":
            data[place + 148 : place + 156] = b" " * 8
            data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    return bytes(data)


def test_the_samples_are_whole():
    for sample in SAMPLES:
        assert index_of(sample)
        use(sample)
    t = tree(SAMPLES[2])
    assert read(t, b"/old") == b"da" + bytes(98) + b"ta" + bytes(98)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sample=st.sampled_from(SAMPLES),
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=12)), min_size=1, max_size=6),
    cut=st.integers(0, 20_000),
    right=st.booleans(),
)
@example(sample=SAMPLES[0], changes=[(0, b"x")], cut=0, right=False)
def test_damaged_archives_are_a_clear_error_or_a_tree(sample, changes, cut, right):
    data = bytearray(sample)
    for place, piece in changes:
        place %= len(data)
        data[place : place + len(piece)] = piece
    data = bytes(data[: len(data) - cut % len(data)] if cut % 3 == 0 else data)
    use(resummed(data) if right else data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_records_of_any_bytes(data):
    try:
        tar._records(data)
    except ArchiveError:
        pass
