"""execve(2), execveat(2) and spawn on the mock platform."""

import io
import tarfile
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitebox.abi import auxv as at
from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import resource as rl
from pylitebox.abi import signal as sg
from pylitebox.abi.elf import ET_DYN, PT_INTERP
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.archivefs import ArchiveFs, Index
from pylitebox.kernel.fs.hostfs import HostFs
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.north.linux import exec as execs
from pylitebox.north.linux.exec import SpawnRequest, spawn
from pylitebox.south.mock.host import Entry, Link, MockDirectory
from pylitebox.south.mock.layer import FaultInjector, Tracer
from pylitebox.south.mock.platform import MockPlatform
from pylitebox.south.mock.run import MockSandbox, run_mock
from tests.north.elfs import ElfFile, Phdr

USER = Credentials.user(1000, 1000)
INTERP = b"/lib/ld.so\0"


def script(text, mode=0o755):
    return Entry(text, mode)


def show(g):
    """A program that prints its arguments."""
    yield from g.print(*[a.decode() for a in g.argv])


def nothing_open(sandbox):
    """Whether the files of programs are held by the file system alone."""
    return all(len(buffer.handles) == 1 for buffer in sandbox.platform.buffers)


def exec_errno(path, files=(), **options):
    """What execve(2) of ``path`` fails with, in a program that sees ``files``."""
    found = []

    def program(g):
        found.append(-(yield g.execve(path)))

    run_mock(program, files=dict(files), **options)
    return found[0]


def dynamic(**fields):
    return ElfFile([Phdr(), Phdr(kind=PT_INTERP, offset=0x900, filesz=len(INTERP))], extra=(0x900, INTERP), **fields)


# -- what is executed -----------------------------------------------------------------------------------------


def test_a_new_program_replaces_the_old_one():
    def first(g):
        yield g.execve("/bin/second", ["zero", "one", ""], ["A=1", "B="])
        raise AssertionError("exec came back")

    def second(g):
        assert g.argv == [b"zero", b"one", b""]
        assert g.environ == [b"A=1", b"B="]
        assert (yield g.getpid()) == 2
        return 7

    assert run_mock(first, files={"/bin/second": second}).status == 7


def test_no_arguments_become_one_empty_one():
    def first(g):
        yield g.execve("/bin/second", [])

    def second(g):
        assert g.argv == [b""]
        yield from g.print("ok")

    assert run_mock(first, files={"/bin/second": second}).stdout == b"ok\n"

    def null(g):
        yield g.__getattr__("execve")("/bin/second", 0, 0)

    assert run_mock(null, files={"/bin/second": second}).stdout == b"ok\n"


def test_descriptors_stay_but_for_those_marked():
    def first(g):
        kept = yield g.open("/a", 0).ok
        closed = yield g.open("/a", fc.O_CLOEXEC).ok
        assert (kept, closed) == (3, 4)
        yield g.execve("/bin/second")

    def second(g):
        assert (yield g.fcntl(3, fc.F_GETFD, 0)) == 0
        assert (yield g.fcntl(4, fc.F_GETFD, 0)) == -E.EBADF

    assert run_mock(first, files={"/a": "", "/bin/second": second}).status == 0


def test_handlers_go_and_ignored_and_blocked_signals_stay():
    def first(g):
        yield g.sigaction(sg.SIGUSR1, lambda g, *a: None).ok
        yield g.sigaction(sg.SIGUSR2, sg.SIG_IGN).ok
        yield g.sigmask(sg.SIG_BLOCK, sg.bit(sg.SIGTERM)).ok
        yield g.execve("/bin/second")

    def second(g):
        handlers = []
        for signo in (sg.SIGUSR1, sg.SIGUSR2):
            old = g.buffer(32)
            yield g.rt_sigaction(signo, 0, old, 8).ok
            handlers.append(sg.SIGACTION.unpack(old.bytes())[0])
        assert handlers == [sg.SIG_DFL, sg.SIG_IGN]
        mask = g.buffer(8)
        yield g.rt_sigprocmask(0, 0, mask, 8).ok
        assert mask.unpack("<Q") == (sg.bit(sg.SIGTERM),)

    assert run_mock(first, files={"/bin/second": second}).status == 0


def test_proc_tells_of_the_new_program():
    def first(g):
        yield g.execve("/bin/link-to-a-long-name", ["x", "y"], ["E=1"])

    def second(g):
        for name, want in (
            ("comm", b"link-to-a-long-\n"),
            ("cmdline", b"x\0y\0"),
            ("environ", b"E=1\0"),
        ):
            fd = yield g.open(f"/proc/self/{name}", 0).ok
            assert (yield from g.read_all(fd)) == want, name
        target = g.buffer(100)
        size = yield g.readlink("/proc/self/exe", target, 100).ok
        assert target.bytes(size) == b"/bin/second"

    files = {"/bin/second": second, "/bin/link-to-a-long-name": Link("second")}
    assert run_mock(first, files=files).status == 0


def test_an_exec_from_a_thread_ends_the_others_and_takes_the_leaders_id():
    def first(g):
        yield g.thread(other).ok
        yield g.thread(lambda g: (yield g.pause())).ok
        yield g.pause()

    def other(g):
        assert g.tid != (yield g.getpid())
        yield g.execve("/bin/second")

    def second(g):
        assert (yield g.gettid()) == (yield g.getpid()) == 2
        return 5

    outcome = run_mock(first, files={"/bin/second": second})
    assert outcome.status == 5
    assert not outcome.kernel.tasks


# -- scripts --------------------------------------------------------------------------------------------------


def test_a_script_names_its_interpreter():
    files = {"/bin/show": show, "/bin/s": script("#! /bin/show  -x y \nrest")}
    assert run_mock("/bin/s", files=files, argv=["zero", "one"]).stdout == b"/bin/show -x y /bin/s one\n"


def test_scripts_may_be_interpreters():
    files = {"/bin/show": show, "/bin/a": script("#!/bin/show A\n"), "/bin/b": script("#!/bin/a B\n")}
    assert run_mock("/bin/b", files=files, argv=["zero", "one"]).stdout == b"/bin/show A /bin/a B /bin/b one\n"


def test_five_scripts_but_not_six():
    files = {"/bin/0": show} | {f"/bin/{n}": script(f"#!/bin/{n - 1}\n") for n in range(1, 7)}
    assert run_mock("/bin/5", files=files).status == 0
    assert exec_errno("/bin/6", files) == E.ELOOP
    assert exec_errno("/bin/s", {"/bin/s": script("#!/bin/s\n")}) == E.ELOOP


@pytest.mark.parametrize(
    ("text", "errno"),
    [
        ("#!/bin/nothing\n", E.ENOENT),
        ("#!\n", E.ENOEXEC),
        ("#!/etc\n", E.EACCES),
        ("#!/bin/text\n", E.ENOEXEC),
        ("#!/etc/plain\n", E.EACCES),
        ("#!nothing/here\n", E.ENOENT),
    ],
)
def test_bad_interpreters(text, errno):
    files = {"/bin/s": script(text), "/bin/text": script("echo"), "/etc/plain": script("", 0o644)}
    assert exec_errno("/bin/s", files) == errno


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        ("/none", E.ENOENT),
        ("", E.ENOENT),
        ("/etc", E.EACCES),
        ("/plain", E.EACCES),
        ("/plain/x", E.ENOTDIR),
        ("/text", E.ENOEXEC),
        ("/empty", E.ENOEXEC),
        ("/dev/null", E.EACCES),
        ("/loop", E.ELOOP),
        ("/" + "x" * 300, E.ENAMETOOLONG),
    ],
)
def test_paths(path, errno):
    files = {
        "/etc": {},
        "/plain": Entry(ElfFile().pack(), 0o644),
        "/text": script("echo hello\n"),
        "/empty": script(""),
        "/loop": Link("loop"),
    }
    assert exec_errno(path, files) == errno


def test_permission_is_the_users():
    files = {"/bin/p": Entry(ElfFile().pack(), 0o700)}
    assert exec_errno("/bin/p", files, cred=USER) == E.EACCES


def test_a_program_need_not_be_readable():
    def first(g):
        assert (yield g.open("/bin/p", 0)) == -E.EACCES
        yield g.execve("/bin/p")

    sandbox = MockSandbox()
    sandbox.put("/bin/p", Entry(show, 0o711))
    assert run_mock(first, cred=USER, sandbox=sandbox).stdout == b"/bin/p\n"


@pytest.mark.parametrize(
    ("interpreter", "errno"),
    [
        (None, E.ENOENT),
        (Entry(ElfFile(kind=ET_DYN).pack(), 0o644), E.EACCES),
        (script("#!/bin/sh\n"), E.EIO),
        (script(b"\x7fELF" + bytes(100)), E.ELIBBAD),
        (script(ElfFile(machine=3).pack()), E.ELIBBAD),
        (script(b"x" * 100), E.ELIBBAD),
    ],
)
def test_bad_dynamic_interpreters(interpreter, errno):
    files = {"/bin/p": script(dynamic().pack())}
    if interpreter:
        files["/lib/ld.so"] = interpreter
    assert exec_errno("/bin/p", files) == errno


def test_arguments_are_bounded():
    def program(g):
        long = "x" * 131072
        assert (yield g.execve("/bin/show", [long])) == -E.E2BIG
        assert (yield g.execve("/bin/show", [long[1:]] * 16)) == -E.E2BIG
        assert (yield g.execve("/bin/show", ["x"], [long[1:]] * 16)) == -E.E2BIG
        endless = g.pages(1 << 21)
        g.memory.write(endless, g.buffer(8, b"x").address.to_bytes(8, "little") * (1 << 18))
        assert (yield g.__getattr__("execve")("/bin/show", endless, 0)) == -E.E2BIG

    run_mock(program, files={"/bin/show": show})


def test_arguments_are_read_where_they_may_be():
    """Up to the last byte of a page, from unaligned arrays, across pages; elsewhere it is EFAULT."""

    def program(g):
        page = g.pages(8192)
        end = page + 8192
        g.memory.write(end - 6, b"first\0")
        g.memory.write(page + 4090, b"second\0")
        array = end - 6 - 24
        g.memory.write(array, b"".join(a.to_bytes(8, "little") for a in (end - 6, page + 4090, 0)))
        execve = g.__getattr__("execve")
        for bad in (1, end, end - 4, array + 1, 1 << 63, (1 << 64) - 8):
            assert (yield execve("/bin/show", bad, 0)) == -E.EFAULT, hex(bad)
        assert (yield execve("/bin/show", array, end - 8)) == -E.EFAULT
        yield execve("/bin/show", array, 0)

    assert run_mock(program, files={"/bin/show": show}).stdout == b"first second\n"


def test_long_strings_are_read_whole():
    strings = ["a" * 5000, "b" * 131000, "", "c" * 4095, "d" * 4096, "e"]

    def first(g):
        yield g.execve("/bin/second", strings, ["V=" + "x" * 9000])

    def second(g):
        assert g.argv == [s.encode() for s in strings]
        assert g.environ == [b"V=" + b"x" * 9000]

    assert run_mock(first, files={"/bin/second": second}).status == 0


# -- execveat -------------------------------------------------------------------------------------------------


def test_execveat_by_directory_and_by_descriptor():
    def first(g):
        directory = yield g.open("/bin", fc.O_DIRECTORY | fc.O_PATH).ok
        for child in (
            lambda g: (yield g.execveat(directory, "show", g.strings(["a"]), 0, 0)),
            lambda g: (yield g.execveat(99, "/bin/show", g.strings(["b"]), 0, 0)),
            by_descriptor,
        ):
            yield g.fork(child).ok
            yield from g.waitpid()

    def by_descriptor(g):
        fd = yield g.open("/bin/show", fc.O_PATH).ok
        yield g.execveat(fd, "", g.strings(["c"]), 0, fc.AT_EMPTY_PATH)

    assert run_mock(first, files={"/bin/show": show}).stdout == b"a\nb\nc\n"


def test_execveat_refuses():
    def program(g):
        directory = yield g.open("/bin", fc.O_DIRECTORY).ok
        read, _ = yield from g.make_pipe()
        for arguments, errno in (
            ((directory, "show", 0, 0, 0x40), E.EINVAL),
            ((directory, "", 0, 0, 0), E.ENOENT),
            ((99, "show", 0, 0, 0), E.EBADF),
            ((99, "", 0, 0, fc.AT_EMPTY_PATH), E.EBADF),
            ((directory, "link", 0, 0, fc.AT_SYMLINK_NOFOLLOW), E.ELOOP),
            ((directory, "", 0, 0, fc.AT_EMPTY_PATH), E.EACCES),
            ((read, "", 0, 0, fc.AT_EMPTY_PATH), E.EACCES),
            ((read, "x", 0, 0, 0), E.ENOTDIR),
        ):
            assert (yield g.execveat(*arguments)) == -errno, arguments

    run_mock(program, files={"/bin/show": show, "/bin/link": Link("show")})


@pytest.mark.parametrize("flags", [0, fc.O_CLOEXEC])
def test_a_script_by_descriptor_is_reached_through_dev_fd(flags):
    def first(g):
        fd = yield g.open("/bin/s", flags).ok
        result = yield g.execveat(fd, "", g.strings(["x", "y"]), 0, fc.AT_EMPTY_PATH)
        assert result == -E.ENOENT

    out = run_mock(first, files={"/bin/show": show, "/bin/s": script("#!/bin/show\n")}).stdout
    assert out == (b"" if flags else b"/bin/show /dev/fd/3 y\n")


def test_a_memfd_can_be_executed():
    sandbox = MockSandbox()
    code = sandbox.platform.executable(show)

    def first(g):
        fd = yield g.memfd_create("it", 0).ok
        yield from g.write_all(fd, code)
        yield g.execveat(fd, "", g.strings(["from", "memory"]), 0, fc.AT_EMPTY_PATH)

    assert run_mock(first, sandbox=sandbox).stdout == b"from memory\n"


# -- where things go ------------------------------------------------------------------------------------------


def image_of(files, *, seed=0, **request):
    """The image that a program is loaded from."""
    images = []

    class Watch(Tracer):
        def call(self, kind, method, function, args, kwargs):
            if method == "load":
                images.append(args[0])
            return function(*args, **kwargs)

    sandbox = MockSandbox(MockPlatform(seed=seed), layers=lambda platform: Watch(platform, print))
    for path, content in files.items():
        sandbox.put(path, content)
    spawn(sandbox.kernel, SpawnRequest([b"/bin/p"], **request))
    sandbox.settle()
    sandbox.close()
    return images[0]


def pages_are_apart(image):
    spans = sorted((m.address, m.address + m.size) for m in image.mappings)
    return all(a[1] <= b[0] for a, b in pairwise(spans))


def test_a_program_and_its_interpreter():
    pie = dynamic(kind=ET_DYN, entry=0x800)
    pie.phdrs[0].vaddr = 0
    ld = ElfFile([Phdr(vaddr=0)], kind=ET_DYN, entry=0x700)
    image = image_of({"/bin/p": script(pie.pack()), "/lib/ld.so": script(ld.pack())})
    program, loader, stack = image.mappings
    assert 0x555555554000 <= program.address < 0x565555554000
    assert 0x7C0000000000 <= loader.address < 0x7D0000000000
    assert 0x7D0000000000 <= stack.address < 0x7E0000000000
    assert image.entry == loader.address + 0x700
    assert stack.size == 8 << 20
    assert stack.prot == 3
    auxv = dict(zip(*[iter(memoryview(image.auxv).cast("Q").tolist())] * 2, strict=True))
    assert auxv[at.AT_BASE] == loader.address
    assert auxv[at.AT_ENTRY] == program.address + 0x800
    assert auxv[at.AT_PHDR] == program.address + 64
    assert auxv[at.AT_PHNUM] == 2
    assert program.address + program.size <= image.brk < program.address + program.size + (1 << 30)
    assert image.brk_size == 1 << 30
    assert image.arg_area[1] == image.env_area[0]


def test_a_static_pie_is_apart_from_its_break():
    image = image_of({"/bin/p": script(ElfFile([Phdr(vaddr=0)], kind=ET_DYN, entry=0x800).pack())})
    assert 0x7C0000000000 <= image.mappings[0].address < 0x7D0000000000
    assert 0x555555554000 <= image.brk < 0x555595554000


def test_addresses_are_random():
    pie = dynamic(kind=ET_DYN)
    files = {"/bin/p": script(pie.pack()), "/lib/ld.so": script(ElfFile([Phdr(vaddr=0)], kind=ET_DYN).pack())}
    images = [image_of(files, seed=seed) for seed in range(6)]
    for facts in zip(*((*(m.address for m in i.mappings), i.stack_pointer, i.brk) for i in images), strict=True):
        assert len(set(facts)) == 6
    assert len({i.data[0][1] for i in images}) == 6


@pytest.mark.parametrize("align", [1 << 21, 1 << 30, 1 << 44])
def test_alignment_is_kept(align):
    pie = ElfFile([Phdr(vaddr=0, align=align)], kind=ET_DYN)
    assert image_of({"/bin/p": script(pie.pack())}).mappings[0].address % align == 0


def test_an_executable_stack_is_given_to_who_asks():
    file = ElfFile([Phdr(), Phdr(kind=0x6474E551, flags=7)])
    assert image_of({"/bin/p": script(file.pack())}).mappings[-1].prot == 7


def test_the_stack_is_as_large_as_its_limit_says():
    files = {"/bin/p": script(ElfFile().pack())}
    for limit, size in ((1 << 20, 1 << 20), (rl.RLIM_INFINITY, 1 << 30), (0, 1 << 17)):
        image = image_of(files, rlimits={rl.RLIMIT_STACK: (limit, rl.RLIM_INFINITY)})
        assert size <= image.mappings[-1].size <= size + 8192


def test_nothing_goes_where_the_platform_is():
    files = {"/bin/p": script(ElfFile().pack())}
    sandbox = MockSandbox()
    sandbox.platform.reserved = ((0x400000, 0x401000),)
    for path, content in files.items():
        sandbox.put(path, content)
    with pytest.raises(KernelError) as caught:
        spawn(sandbox.kernel, SpawnRequest([b"/bin/p"]))
    assert caught.value.errno == E.ENOMEM
    sandbox.platform.reserved = ((0x555555554000, 0x7F0000000000),)
    with pytest.raises(KernelError) as caught:
        spawn(sandbox.kernel, SpawnRequest([b"/bin/p"]))
    assert caught.value.errno == E.ENOMEM
    sandbox.platform.reserved = ((0x402000, 0x403000),)
    spawn(sandbox.kernel, SpawnRequest([b"/bin/p"]))
    sandbox.close()


def test_the_break_ends_before_what_lies_above():
    file = ElfFile([Phdr(), Phdr(vaddr=0x10000000)])
    file.phdrs.reverse()
    image = image_of({"/bin/p": script(file.pack())})
    assert image.brk >= 0x10001000
    assert image.brk_size == 1 << 30
    assert pages_are_apart(image)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6),
    st.lists(st.tuples(st.integers(0, 176), st.integers(0, 255)), max_size=6),
    st.integers(0, 0x1000),
)
def test_any_program_and_interpreter_are_loaded_or_refused(ld_changes, changes, size):
    """Mutated and truncated: an errno or a process, and nothing is left open."""
    pie, ld = dynamic(kind=ET_DYN, entry=0x800), ElfFile([Phdr(vaddr=0)], kind=ET_DYN)
    files = {}
    for path, file, edits in (("/bin/p", pie, changes), ("/lib/ld.so", ld, ld_changes)):
        data = bytearray(file.pack())
        for where, value in edits:
            data[where] = value
        files[path] = Entry(bytes(data[: max(size, 64)]) if size % 2 else bytes(data), 0o755)
    sandbox = MockSandbox()
    for path, content in files.items():
        sandbox.put(path, content)
    try:
        spawn(sandbox.kernel, SpawnRequest([b"/bin/p"]))
    except KernelError:
        pass
    sandbox.settle()
    sandbox.close()
    sandbox.check()
    assert nothing_open(sandbox)


# -- starting programs ----------------------------------------------------------------------------------------


def request_errno(sandbox, *argv, **fields):
    with pytest.raises(KernelError) as caught:
        spawn(sandbox.kernel, SpawnRequest([a.encode() for a in argv], **fields))
    assert len(sandbox.kernel.processes) == 1, "a process is left"
    return caught.value.errno


def test_spawn_searches_the_path():
    sandbox = MockSandbox()
    runs = []
    sandbox.put("/usr/bin/tool", lambda g: runs.append(g.argv))
    sandbox.put("/opt/tool", Entry(ElfFile().pack(), 0o600))
    sandbox.put("/data", "")
    path = [b"PATH=/none:/data:/opt:/usr/bin"]
    process = spawn(sandbox.kernel, SpawnRequest([b"tool"], path))
    sandbox.settle()
    assert process.name == b"tool"
    assert runs == [[b"tool"]]
    assert request_errno(sandbox, "tool", environ=[b"PATH=/none:/data:/opt"]) == E.EACCES
    assert request_errno(sandbox, "tool", environ=[b"PATH=/none:/data"]) == E.ENOENT
    assert request_errno(sandbox, "", environ=path) == E.ENOENT
    assert request_errno(sandbox, environ=path) == E.ENOENT
    spawn(sandbox.kernel, SpawnRequest([b"tool"]))  # /bin:/usr/bin
    spawn(sandbox.kernel, SpawnRequest([b"tool"], [b"PATH="], cwd=b"/usr/bin"))
    sandbox.settle()
    assert runs == [[b"tool"]] * 3
    sandbox.close()


def test_spawn_says_at_once_what_is_wrong():
    sandbox = MockSandbox()
    sandbox.put("/bin/text", script("echo"))
    sandbox.put("/bin/show", show)
    assert request_errno(sandbox, "/bin/none") == E.ENOENT
    assert request_errno(sandbox, "/bin/text") == E.ENOEXEC
    assert request_errno(sandbox, "/bin/show", cwd=b"/none") == E.ENOENT
    assert request_errno(sandbox, "/bin/show", cwd=b"/bin/show") == E.ENOTDIR
    assert request_errno(sandbox, "/bin/show", "x" * 200000) == E.E2BIG
    sandbox.kernel.limits.processes = 0
    assert request_errno(sandbox, "/bin/show") == E.EAGAIN
    assert sandbox.platform.buffers
    assert nothing_open(sandbox)
    sandbox.close()


def on_slow_disk(sandbox, content):
    tree = {"p": Entry(content, 0o755, slow=True)}
    sandbox.namespace.mount(HostFs(sandbox.kernel, MockDirectory(tree, sandbox.platform.disk)), b"/host")


def test_a_program_on_a_slow_disk():
    sandbox = MockSandbox()
    on_slow_disk(sandbox, sandbox.platform.executable(show))

    def program(g):
        assert (yield g.fork(lambda g: (yield g.execve("/host/p")))) > 0
        yield from g.waitpid()

    assert run_mock(program, sandbox=sandbox).stdout == b"/host/p\n"


def test_a_program_in_an_archive_on_a_slow_disk():
    """It is copied to be mapped: exec waits for the disk for that too."""
    sandbox = MockSandbox()
    content = sandbox.platform.executable(show)
    content += bytes((3 << 19) - len(content))  # what is copied comes in more than one piece
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("p")
        info.size, info.mode = len(content), 0o755
        archive.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()
    index = Index.read(lambda size, offset: data[offset : offset + size], len(data), 0)
    file = MockDirectory({"a": Entry(data, 0o644, slow=True)}, sandbox.platform.disk).open(b"a")
    sandbox.namespace.mount(OverlayFs(sandbox.kernel, ArchiveFs(sandbox.kernel, file, index)), b"/root")

    def program(g):
        assert (yield g.fork(lambda g: (yield g.execve("/root/p")))) > 0
        yield from g.waitpid()
        assert (yield g.execve("/root/p")) == 0

    assert run_mock(program, sandbox=sandbox).stdout == b"/root/p\n" * 2


@pytest.mark.parametrize(("content", "status"), [(None, 0), (b"echo", execs.NOT_EXECUTABLE)])
def test_spawning_from_a_slow_disk(content, status):
    sandbox = MockSandbox()
    on_slow_disk(sandbox, content or sandbox.platform.executable(lambda g: 0))
    failures = []
    process = spawn(sandbox.kernel, SpawnRequest([b"/host/p"], failed=failures.append))
    assert failures == []
    sandbox.run()
    assert process.status == status << 8
    assert [f.errno for f in failures] == ([E.ENOEXEC] if content else [])
    sandbox.close()


def test_a_process_may_be_killed_while_its_program_is_read():
    sandbox = MockSandbox()
    on_slow_disk(sandbox, sandbox.platform.executable(show))

    def program(g):
        pid = yield g.fork(lambda g: (yield g.execve("/host/p")))
        while sandbox.kernel.processes[pid].leader.wait is None:
            yield g.pause_turn()
        yield g.kill(pid, sg.SIGKILL).ok
        assert (yield from g.waitpid(pid)) == (pid, sg.SIGKILL)

    assert run_mock(program, sandbox=sandbox).stdout == b""


def test_the_platform_may_have_no_process():
    def program(g):
        assert (yield g.execve("/bin/show")) == -E.EAGAIN
        yield g.execve("/bin/show")

    sandbox = MockSandbox(layers=lambda p: FaultInjector(p, {("Platform", "new_process", 2): None}))
    assert run_mock(program, files={"/bin/show": show}, sandbox=sandbox).stdout == b"/bin/show\n"
    failures = []
    sandbox = MockSandbox(layers=lambda p: FaultInjector(p, {("Platform", "new_process", 1): None}))
    sandbox.put("/bin/show", show)
    process = spawn(sandbox.kernel, SpawnRequest([b"/bin/show"], failed=failures.append))
    sandbox.settle()
    assert process.status == execs.NOT_EXECUTABLE << 8
    assert [f.errno for f in failures] == [E.EAGAIN]
    assert sandbox.platform.buffers
    assert nothing_open(sandbox)
    sandbox.close()


@pytest.mark.parametrize("answer", ["thread", "none"])
def test_a_process_may_be_killed_while_it_waits_for_an_empty_one(answer):
    """The empty process that comes too late is given back."""
    sandbox = MockSandbox()
    waiting = []

    def program(g):
        real, sandbox.platform.new_process = sandbox.platform.new_process, waiting.append
        pid = yield g.fork(lambda g: (yield g.execve("/bin/show")))
        while not waiting:
            yield g.pause_turn()
        yield g.kill(pid, sg.SIGKILL).ok
        yield from g.waitpid(pid)
        if answer == "none":
            waiting[0](None)
        else:
            real(lambda thread: (waiting[0](thread), states.append(thread.state)))

    states = []
    run_mock(program, files={"/bin/show": show}, sandbox=sandbox)
    assert states == (["dead"] if answer == "thread" else [])
    assert nothing_open(sandbox)
