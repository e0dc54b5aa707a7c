"""Layers: tracing the contract, and failing each of its calls in turn."""

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import signal as sg
from pylitebox.abi.mman import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
)
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.hostfs import HostFs
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.south.mock.host import MockDirectory
from pylitebox.south.mock.layer import FaultInjector, Layer, Tracer
from pylitebox.south.mock.platform import MockPlatform, Stalled
from pylitebox.south.mock.run import MockSandbox, run_mock


def test_a_trace_says_what_crosses_the_contract():
    lines = []
    sandbox = MockSandbox(layers=lambda platform: Tracer(platform, lines.append))

    def program(g):
        fd = yield g.open("/f", 0).ok
        yield g.read(fd, 8, 5)
        yield g.fork(lambda g: 0).ok
        yield from g.waitpid()

    run_mock(program, files={"/f": "hello"}, sandbox=sandbox)
    text = "\n".join(lines)
    assert "Platform.new_process(<callback>) -> None" in text
    assert "Memory.read_cstring(0x10000000, 4096) -> b'/f'" in text
    assert "Memory.write(8, b'hello') -> EFAULT" in text
    assert "GuestThread.clone(<Task 3 of 3 b'program'>, 17) -> 3" in text
    assert "monotonic" not in text
    assert lines[-1] == "Platform.close() -> None"


def test_faults_are_injected_where_they_are_asked_for():
    sandbox = MockSandbox(layers=lambda p: FaultInjector(p, {("GuestThread", "clone", 2): E.EAGAIN}))

    def program(g):
        assert (yield g.fork(lambda g: 0)) > 0
        assert (yield g.fork(lambda g: 0)) == -E.EAGAIN
        assert (yield g.fork(lambda g: 0)) > 0

    run_mock(program, sandbox=sandbox)
    layer = sandbox.kernel.platform
    assert layer.injected == [("GuestThread", "clone", 2)]
    assert layer.made["GuestThread", "clone"] == 3


def test_layers_stack():
    lines = []
    sandbox = MockSandbox(
        layers=lambda p: Layer(FaultInjector(Tracer(p, lines.append), {("Memory", "write", 2): E.EFAULT}))
    )

    def program(g):
        status = g.buffer(4)
        yield g.fork(lambda g: 3).ok
        assert (yield g.wait4(-1, status, 0, 0)) == -E.EFAULT

    run_mock(program, sandbox=sandbox)
    written = [line for line in lines if line.startswith("Memory.write")]
    assert len(written) == 1, "but for the first stack, which exec writes, it was failed above"
    assert [line for line in lines if line.startswith("GuestThread.clone")]


def test_what_comes_from_elsewhere_is_wrapped_on_request():
    lines = []
    tracer = Tracer(MockPlatform(), lines.append)
    directory = tracer.wrap("HostDirectory", MockDirectory({"d": {"f": "x"}}))
    file = directory.directory(b"d").open(b"f")
    assert file.read_at(4, 0) == b"x"
    assert file.key()
    with pytest.raises(KernelError):
        directory.open(b"none")
    assert [line.partition("(")[0] for line in lines] == [
        "HostDirectory.directory", "HostDirectory.open", "HostFile.read_at", "HostDirectory.open",
    ]  # fmt: skip
    assert lines[-1].endswith("ENOENT")


# -- each call of a scenario, failed in turn ------------------------------------------------------------------

#: What each call of the contract may fail with.
ERRORS = {
    ("Platform", "new_process"): None,
    ("Platform", "shared_buffer"): E.ENFILE,
    ("GuestThread", "clone"): E.EAGAIN,
    ("AddressSpace", "map"): E.ENOMEM,
    ("AddressSpace", "protect"): E.ENOMEM,
    ("AddressSpace", "move"): E.ENOMEM,
    ("Memory", "read"): E.EFAULT,
    ("Memory", "read_some"): E.EFAULT,
    ("Memory", "read_cstring"): E.EFAULT,
    ("Memory", "write"): E.EFAULT,
    ("SharedBuffer", "write_at"): E.ENOSPC,
    ("SharedBuffer", "truncate"): E.ENOSPC,
    ("SharedBuffer", "read_at"): E.EIO,
    ("SharedBuffer", "share"): E.ENFILE,
    ("HostDirectory", "stat"): E.EIO,
    ("HostDirectory", "listdir"): E.EACCES,
    ("HostDirectory", "directory"): E.ENOENT,
    ("HostDirectory", "open"): E.EMFILE,
    ("HostDirectory", "readlink"): E.EIO,
    ("HostFile", "read_at"): E.EIO,
    ("HostFile", "share"): E.EMFILE,
    ("HostStream", "write"): E.EPIPE,
    ("HostStream", "read"): E.EIO,
}


def scenario(g):
    """A little of everything; each call may fail, and nothing is asserted."""
    yield g.sigaction(sg.SIGCHLD, lambda g, *rest: (yield g.getpid()), sg.SA_RESTART)
    fds = g.buffer(8)
    if (yield g.pipe2(fds, 0)) < 0:
        return 1
    read, write = fds.unpack("<ii")

    def child(g):
        yield g.dup2(write, 1)
        yield g.execve("/bin/tool", ["tool", "argument"], ["A=B"])
        return 127

    pid = yield g.fork(child)
    other = yield g.vfork(child)
    yield g.close(write)
    data = g.buffer(4096)
    while (yield g.read(read, data, 4096)) > 0:
        pass
    for _ in range(3):
        yield g.wait4(-1, g.buffer(4), 0, 0)
    for path, flags in (("/host/d/f", 0), ("/host/new", fc.O_RDWR | fc.O_CREAT), ("/tmp/new", fc.O_RDWR | fc.O_CREAT)):
        fd = yield g.openat(fc.AT_FDCWD, path, flags, 0o644)
        yield g.write(fd, "content", 7)
        yield g.mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0)
        yield g.pread64(fd, data, 100, 0)
        yield g.newfstatat(fc.AT_FDCWD, path, data, 0)
        yield g.rename(path, path + "2")
        yield g.close(fd)
    place = yield g.mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    yield g.mprotect(place, 4096, PROT_READ | PROT_WRITE)
    yield g.mremap(place, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place - (1 << 20))
    fd = yield g.open("/host/d", fc.O_DIRECTORY)
    yield g.getdents64(fd, data, 4096)
    yield g.poll(g.pack("<ihhihh", 0, 1, 0, 1, 4, 0), 2, 10)
    yield g.read(0, data, 100)
    yield g.write(1, "done\n", 5)
    yield g.kill(pid, sg.SIGKILL)
    yield g.kill(other, sg.SIGKILL)
    return 0


def tool(g):
    yield g.write(1, b" ".join(g.argv), 20)


def sandbox_with(faults):
    sandbox = MockSandbox(layers=lambda platform: FaultInjector(platform, faults))
    layer, kernel = sandbox.kernel.platform, sandbox.kernel
    layer.faults = {}  # not while the stage is set
    tree = MockDirectory({"d": {"f": "from the host", "l": "x"}, "g": "more"})
    lower = HostFs(kernel, layer.wrap("HostDirectory", tree))
    sandbox.namespace.mount(OverlayFs(kernel, lower), b"/host")
    sandbox.put("/bin/tool", tool)
    sandbox.put("/bin/scenario", scenario)
    layer.made.clear()
    layer.faults = faults
    return sandbox


def perform(faults):
    """Run the scenario; None if it could not even be started."""
    sandbox = sandbox_with(faults)
    try:
        return sandbox, run_mock("/bin/scenario", stdin=b"input", sandbox=sandbox)
    except KernelError:
        return sandbox, None


def cases():
    sandbox, outcome = perform({})
    assert outcome is not None
    assert outcome.stdout == b"done\n"
    return [
        (kind, method, n)
        for (kind, method), count in sandbox.kernel.platform.made.items()
        for n in range(1, min(count, 25) + 1)
        if (kind, method) in ERRORS
    ]


def test_no_failure_of_the_host_is_more_than_an_errno():
    """Whatever fails: the kernel logs no internal error, everything ends, nothing stays open."""
    all_cases = cases()
    assert {case[:2] for case in all_cases} >= {
        ("Platform", "new_process"), ("GuestThread", "clone"), ("AddressSpace", "map"), ("Memory", "write"),
        ("AddressSpace", "protect"), ("AddressSpace", "move"),
        ("HostFile", "read_at"), ("HostDirectory", "stat"), ("HostStream", "write"), ("SharedBuffer", "write_at"),
    }  # fmt: skip
    wrong = []
    for case in all_cases:
        try:
            sandbox, _ = perform({case: ERRORS[case[:2]]})
        except (Stalled, AssertionError) as error:
            wrong.append((case, error))
            continue
        assert sandbox.kernel.platform.injected == [case]
        assert len(sandbox.kernel.processes) == 1
        assert not sandbox.kernel.tasks
    assert wrong == []


def test_each_call_passes_a_layer_once():
    sandbox = MockSandbox(layers=lambda platform: FaultInjector(platform, {}))

    def program(g):
        yield g.fork(child).ok
        yield from g.waitpid()

    def child(g):
        yield g.execve("/bin/last")

    def last(g):
        yield g.fork(lambda g: 0).ok
        yield from g.waitpid()

    run_mock(program, files={"/bin/last": last}, sandbox=sandbox)
    assert sandbox.kernel.platform.made["GuestThread", "clone"] == 2
    assert sandbox.kernel.platform.made["GuestThread", "load"] == 2
