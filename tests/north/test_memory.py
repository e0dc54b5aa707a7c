"""mmap's decisions, brk, and questions about areas."""

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import mman as mm
from pylitebox.kernel.fs.tmpfs import TmpFs
from pylitebox.kernel.fs.vfs import MS_NOEXEC

CREATE = fc.O_CREAT | fc.O_RDWR
PRIVATE, SHARED = mm.MAP_PRIVATE, mm.MAP_SHARED


def make(g, name="f"):
    fd = g("open", name, CREATE, 0o644)
    g("ftruncate", fd, 8192)
    return fd


def test_mmap_errors(g):
    fd = make(g)
    reader, writer = g("open", "f", fc.O_RDONLY, 0), g("open", "f", fc.O_WRONLY, 0)
    assert g("mmap", 0, 0, 1, PRIVATE, 99, 0) == -E.EBADF
    assert g("mmap", 0, 0, 1, PRIVATE, fd, 0) == -E.EINVAL
    assert g("mmap", 0, 1, 1, PRIVATE, fd, 1) == -E.EINVAL
    assert g("mmap", 0, 1, 1, 0, fd, 0) == -E.EINVAL
    assert g("mmap", 1, 1, 1, PRIVATE | mm.MAP_FIXED, fd, 0) == -E.EINVAL
    assert g("mmap", 0, -1, 1, PRIVATE, fd, 0) == -E.ENOMEM
    assert g("mmap", 0, 4096, 1, PRIVATE, fd, 0x7FFFFFFFFFFFF000) == -E.EOVERFLOW
    assert g("mmap", 0, 8192, 1, PRIVATE, fd, -4096) == -E.EOVERFLOW
    assert g("mmap", 0, 1, 1, PRIVATE, g("open", "f", fc.O_PATH, 0), 0) == -E.EBADF
    assert g("mmap", 0, 1, 1, PRIVATE, g("open", ".", fc.O_DIRECTORY, 0), 0) == -E.ENODEV
    assert g("mmap", 0, 1, 1, PRIVATE, writer, 0) == -E.EACCES
    assert g("mmap", 0, 1, 3, SHARED, reader, 0) == -E.EACCES


def test_area_errors(g):
    assert g("msync", 1, 1, mm.MS_SYNC) == -E.EINVAL
    assert g("msync", 4096, 1, mm.MS_SYNC) == -E.ENOMEM
    assert g("msync", 4096, 1, mm.MS_SYNC | mm.MS_ASYNC) == -E.EINVAL
    assert g("msync", 4096, 0, mm.MS_SYNC) == 0
    assert g("mincore", 4096, 1, 0) == -E.ENOMEM
    assert g("mincore", 1, 1, 0) == -E.EINVAL
    assert g("mlock", 4096, 1) == -E.ENOMEM
    assert g("mlock", 4096, 0) == 0
    assert g("munlock", 4096, 1) == -E.ENOMEM
    assert g("mlockall", 0) == -E.EINVAL
    assert g("mlockall", 4) == -E.EINVAL
    assert g("mlockall", 99) == -E.EINVAL


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_what_a_mapping_may_do(g):
    fd, reader = make(g), g("open", "f", fc.O_RDONLY, 0)
    mapped = [
        g("mmap", 0, 4096, 3, PRIVATE, reader, 0),
        g("mmap", 0, 4096, 1, SHARED, fd, 4096),
        g("mmap", 0, 4096, 1, SHARED, reader, 0),
    ]
    assert [g("mprotect", address, 4096, 3) for address in mapped] == [0, 0, -E.EACCES]


def test_a_mount_without_exec(bench):
    bench.kernel.namespace.mount(TmpFs(bench.kernel), b"/m", MS_NOEXEC)
    g = bench.guest()
    fd = make(g, "/m/f")
    assert g("mmap", 0, 4096, mm.PROT_READ | mm.PROT_EXEC, PRIVATE, fd, 0) == -E.EPERM
    assert g("mmap", 0, 4096, mm.PROT_READ, PRIVATE, fd, 0) > 0


def test_brk(bench):
    g = bench.guest()
    layout = g.task.process.layout
    layout.brk_start, layout.brk, layout.brk_limit = 0x10000, 0x10000, 0x50000
    assert g("brk", 0) == 0x10000
    assert g("brk", 0x20123) == 0x20123
    assert g("brk", 0x50001) == 0x20123
    assert g("brk", 0xFFFF) == 0x20123
    assert g("brk", 0x10000) == 0x10000
    assert g("brk", -1) == 0x10000


def test_areas(bench):
    g = bench.guest()
    start = g.hole(3 * 4096)
    g.thread.memory.write(start, b"1")
    g.thread.memory.write(start + 8192, b"1")
    vector = g.place(bytes(8))
    assert g("mincore", start, 3 * 4096, vector) == 0
    assert g.peek(vector, 4) == b"\1\0\1\0"
    assert g("mincore", start, 3 * 4096 + 1, vector) == -E.ENOMEM
    assert g("mlock", start + 100, 4096) == 0
    assert g("msync", start, 4 * 4096, mm.MS_SYNC) == -E.ENOMEM
    assert g("mlock", 100, -50) == -E.EINVAL


def test_mappings_end_with_their_process(bench):
    """Nothing of a guest's areas outlives it."""
    g = bench.guest()
    fd = make(g)
    for flags in (PRIVATE, SHARED):
        assert g("mmap", 0, 1 << 20, 3, flags | mm.MAP_ANONYMOUS, -1, 0) > 0
        assert g("mmap", 0, 8192, 3, flags, fd, 0) > 0
    g("exit_group", 0)
    kernel = bench.kernel
    assert (kernel.areas.used, kernel.commit.used, len(kernel.sources)) == (0, 0, 0)


def test_the_sandbox_has_limits(bench):
    g = bench.guest()
    kernel = bench.kernel
    kernel.commit.limit = kernel.commit.used + (1 << 20)
    anonymous = mm.MAP_ANONYMOUS
    assert g("mmap", 0, (1 << 20) + 1, 3, PRIVATE | anonymous, -1, 0) == -E.ENOMEM
    assert g("mmap", 0, (1 << 20) + 1, 3, SHARED | anonymous, -1, 0) == -E.ENOMEM
    reserved = g("mmap", 0, 1 << 40, 0, PRIVATE | anonymous, -1, 0)
    assert reserved > 0, "what cannot be written to does not count"
    assert g("mprotect", reserved, 2 << 20, 3) == -E.ENOMEM
    assert g("mprotect", reserved, 1 << 20, 3) == 0
    assert g("mmap", 0, 1, 3, SHARED | anonymous, -1, 0) == -E.ENOMEM
    assert g("mmap", 0, 1 << 30, 3, PRIVATE | anonymous | mm.MAP_NORESERVE, -1, 0) > 0
    assert g("munmap", reserved, 1 << 40) == 0
    assert g("mmap", 0, 4096, 3, SHARED | anonymous, -1, 0) > 0
    assert g("fork") == -E.ENOMEM, "its writable memory would count twice"
    kernel.areas.limit = kernel.areas.used
    assert g("mmap", 0, 4096, 1, SHARED | anonymous, -1, 0) == -E.ENOMEM
    kernel.areas.limit += 100
    before = len(kernel.sources), kernel.commit.used
    while (address := g("mmap", 0, 4096, 1, SHARED | anonymous, -1, 0)) > 0:
        pass
    assert address == -E.ENOMEM
    assert (len(kernel.sources), kernel.commit.used) > before
    g("exit_group", 0)
    assert (kernel.areas.used, kernel.commit.used, len(kernel.sources)) == (0, 0, 0)


def test_areas_are_counted(bench, monkeypatch):
    monkeypatch.setattr("pylitebox.kernel.memory.space.MAX_MAP_COUNT", 8)
    g = bench.guest()
    start = g("mmap", 0, 40 << 12, 3, PRIVATE | mm.MAP_ANONYMOUS, -1, 0)
    results = [g("mprotect", start + (i << 12), 4096, 1) for i in range(1, 20, 2)]
    assert set(results) == {0, -E.ENOMEM}
    assert len(g.space.areas) <= 8
    assert g("munmap", start, 40 << 12) == 0


def test_what_the_platform_needs_is_nobody_elses(bench):
    bench.platform.reserved = ((0x7000_0000, 0x7001_0000),)
    g = bench.guest()
    fixed, anonymous = mm.MAP_FIXED, PRIVATE | mm.MAP_ANONYMOUS
    assert g("mmap", 0x7000_F000, 8192, 3, anonymous | fixed, -1, 0) == -E.ENOMEM
    assert g("mmap", 0x7001_0000, 8192, 3, anonymous | fixed, -1, 0) == 0x7001_0000
    assert g("mmap", 0x7000_0000, 8192, 3, anonymous, -1, 0) > 0x7001_0000
    assert g("mprotect", 0x7000_0000, 4096, 3) == -E.ENOMEM
