"""Scripted guests: what a script sees is what a program would."""

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import sched
from pylitebox.abi import signal as sg
from pylitebox.abi.mman import MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from pylitebox.south.mock.guest import GuestFailure
from pylitebox.south.mock.host import MockStream
from pylitebox.south.mock.platform import MockPlatform, Stalled
from pylitebox.south.mock.run import MockSandbox, run_mock

SECOND = 10**9


def sleep(g, seconds):
    return g.nanosleep(g.pack("<qq", seconds, 0), 0)


# -- calls ----------------------------------------------------------------------------------------------------


def test_results_are_those_of_registers():
    def program(g):
        assert (yield g.close(99)) == -E.EBADF
        assert (yield g.getpid()) == 2
        assert (yield g.call(1000)) == -E.ENOSYS
        return 3

    assert run_mock(program).status == 3


def test_a_program_may_make_no_calls():
    assert run_mock(lambda g: 4).status == 4
    assert run_mock(lambda g: None).status == 0


def test_streams():
    def program(g):
        data = yield from g.read_all(0)
        yield from g.write_all(1, data.upper())
        yield from g.write_all(2, "oops")

    outcome = run_mock(program, stdin=b"hello")
    assert (outcome.stdout, outcome.stderr) == (b"HELLO", b"oops")


def test_a_failed_assertion_of_a_script_fails_the_test():
    def program(g):
        yield g.getpid()
        assert False, "as it should"  # noqa: B011, PT015

    with pytest.raises(AssertionError, match="as it should"):
        run_mock(program)


def test_a_failed_assertion_of_a_child_fails_the_test():
    def program(g):
        def child(g):
            yield g.getpid()
            raise ValueError("in the child")

        yield g.fork(child).ok
        yield from g.waitpid()

    with pytest.raises(ValueError, match="in the child"):
        run_mock(program)


def test_calls_that_must_succeed():
    def program(g):
        yield g.open("/none", 0).ok

    with pytest.raises(GuestFailure, match=r"open\('/none', 0\) failed with ENOENT"):
        run_mock(program)


def test_what_is_no_call_fails_the_test():
    def program(g):
        yield 5

    with pytest.raises(TypeError, match="no system call"):
        run_mock(program)
    with pytest.raises(AttributeError, match="no system call 'opne'"):
        run_mock(lambda g: g.opne("/x"))
    with pytest.raises(TypeError, match="no argument"):
        run_mock(lambda g: (yield g.open(1.5)))


def test_the_initial_stack_is_read_back():
    def program(g):
        assert g.argv == [b"a", b"b c"]
        assert g.environ == [b"X=1"]
        assert g.auxv[6] == 4096

    assert run_mock(program, argv=["a", "b c"], env={"X": "1"}).status == 0


# -- time and order -------------------------------------------------------------------------------------------


def test_time_passes_only_when_all_wait():
    def program(g):
        start = g._thread.platform.now_ns
        for _ in range(100):
            yield g.getpid()
        assert g._thread.platform.now_ns == start
        yield sleep(g, 3600)
        assert g._thread.platform.now_ns == start + 3600 * SECOND

    assert run_mock(program).status == 0


def test_calls_may_take_time():
    sandbox = MockSandbox(MockPlatform(tick_ns=10))
    start = sandbox.platform.now_ns

    def program(g):
        for _ in range(99):
            yield g.getpid()

    run_mock(program, sandbox=sandbox)
    assert sandbox.platform.now_ns == start + 100 * 10


def test_a_guest_that_waits_for_nothing_is_noticed():
    with pytest.raises(Stalled, match="parked"):
        run_mock(lambda g: (yield g.pause()))


def test_a_guest_that_never_ends_is_noticed(monkeypatch):
    def program(g):
        while True:
            yield g.getpid()

    monkeypatch.setattr("pylitebox.south.mock.run.MAX_STEPS", 100)
    with pytest.raises(Stalled, match="no end"):
        run_mock(program)


def test_every_run_is_the_same():
    def program(g):
        for name in "abc":
            yield g.fork(lambda g, name=name: (yield from g.print(name, (yield g.getpid())))).ok
        while (yield from g.waitpid())[0] > 0:
            pass

    first = run_mock(program)
    second = run_mock(program)
    assert first.stdout == second.stdout
    assert sorted(first.stdout.split()) == [b"3", b"4", b"5", b"a", b"b", b"c"]


def test_threads_take_turns():
    order = []

    def program(g):
        yield g.thread(other).ok
        for n in range(3):
            order.append(("main", n))
            yield g.pause_turn()
        yield sleep(g, 1)

    def other(g):
        for n in range(3):
            order.append(("other", n))
            yield g.pause_turn()

    run_mock(program)
    assert sorted(order) == [(who, n) for who in ("main", "other") for n in range(3)]
    assert order != sorted(order)


# -- processes and memory -------------------------------------------------------------------------------------


def test_a_forked_child_has_a_copy_of_memory():
    def program(g):
        data = g.buffer(4, b"old")

        def child(g):
            yield g.getpid()
            data_of_child = g.memory.read(data.address, 3)
            g.memory.write(data.address, b"new")
            return data_of_child != b"old"

        pid = yield g.fork(child)
        assert (yield from g.waitpid(pid)) == (pid, 0)
        assert data.bytes(3) == b"old"

    assert run_mock(program).status == 0


@pytest.mark.parametrize("how", ["vfork", "thread"])
def test_a_vforked_child_or_a_thread_shares_memory(how):
    def program(g):
        data = g.buffer(4, b"old")

        def child(g):
            yield g.getpid()
            g.memory.write(data.address, b"new")

        yield getattr(g, how)(child).ok
        if how == "thread":
            yield sleep(g, 1)
        assert data.bytes(3) == b"new"

    assert run_mock(program).status == 0


def test_a_vfork_parent_stands_until_the_child_is_gone():
    order = []

    def program(g):
        def child(g):
            yield sleep(g, 5)
            order.append("child")

        yield g.vfork(child).ok
        order.append("parent")

    run_mock(program)
    assert order == ["child", "parent"]


def test_clone_tells_thread_ids():
    def program(g):
        place = g.buffer(8)
        flags = sched.CLONE_PARENT_SETTID | sched.CLONE_CHILD_SETTID | sg.SIGCHLD

        def child(g):
            assert (yield g.gettid()) == int.from_bytes(g.memory.read(place.address + 4, 4), "little")

        pid = yield g.clone(flags, child, ptid=place, ctid=place.address + 4)
        assert place.int32() == pid
        assert (yield from g.waitpid(pid)) == (pid, 0)

    assert run_mock(program).status == 0


def test_mapped_files():
    def program(g):
        fd = yield g.open("/f", fc.O_RDWR).ok
        private = yield g.mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0).ok
        shared = yield g.mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0).ok
        g.memory.write(private, b"P")
        g.memory.write(shared + 1, b"S")
        assert g.memory.read(private, 5) == b"Pello"  # copied when it was written
        data = g.buffer(5)
        assert (yield g.pread64(fd, data, 5, 0)) == 5
        assert data.bytes() == b"hSllo"
        yield g.pwrite64(fd, "x", 1, 4).ok
        assert g.memory.read(shared, 5) == b"hSllx"

    assert run_mock(program, files={"/f": "hello"}).status == 0


def test_bad_pointers_are_efault():
    def program(g):
        page = g.pages(4096)
        g.protect(page, 4096, PROT_READ)
        fd = yield g.open("/f", 0).ok
        for address in (0, 1, page, page + 4096, 1 << 47, (1 << 64) - 1):
            assert (yield g.read(fd, address, 5)) == -E.EFAULT, hex(address)
        assert (yield g.open(page + 4095, 0)) == -E.ENOENT

    assert run_mock(program, files={"/f": "hello"}).status == 0


# -- signals --------------------------------------------------------------------------------------------------


def test_a_handler_runs_before_the_call_returns():
    order = []

    def handler(g, signo, info, ucontext):
        order.append(signo)
        fields = g.memory.read(info, 20)
        assert int.from_bytes(fields[:4], "little") == signo
        assert int.from_bytes(fields[16:20], "little") == 2
        yield g.getpid()
        order.append("handled")

    def program(g):
        yield g.sigaction(sg.SIGUSR1, handler, sg.SA_SIGINFO).ok
        assert (yield g.kill((yield g.getpid()), sg.SIGUSR1)) == 0
        order.append("after")

    run_mock(program)
    assert order == [sg.SIGUSR1, "handled", "after"]


def test_a_plain_function_may_be_a_handler():
    seen = []

    def program(g):
        yield g.sigaction(sg.SIGUSR1, lambda g, signo, *rest: seen.append(signo)).ok
        yield g.kill(2, sg.SIGUSR1)

    run_mock(program)
    assert seen == [sg.SIGUSR1]


def test_handlers_nest_and_return_in_order():
    order = []

    def outer(g, *rest):
        order.append("outer")
        yield g.kill((yield g.getpid()), sg.SIGUSR2)
        order.append("outer again")

    def inner(g, *rest):
        order.append("inner")
        yield g.getpid()

    def program(g):
        yield g.sigaction(sg.SIGUSR1, outer).ok
        yield g.sigaction(sg.SIGUSR2, inner).ok
        assert (yield g.kill((yield g.getpid()), sg.SIGUSR1)) == 0
        order.append("after")

    run_mock(program)
    assert order == ["outer", "inner", "outer again", "after"]


def test_several_at_once_run_the_last_first():
    """Each frame interrupts the one before it at its first instruction, as on Linux."""
    order = []

    def program(g):
        for signo in (sg.SIGUSR1, sg.SIGUSR2):
            yield g.sigaction(signo, lambda g, signo, *rest: order.append(signo)).ok
        both = sg.bit(sg.SIGUSR1) | sg.bit(sg.SIGUSR2)
        yield g.sigmask(sg.SIG_BLOCK, both).ok
        yield g.kill(2, sg.SIGUSR1).ok
        yield g.kill(2, sg.SIGUSR2).ok
        assert order == []
        yield g.sigmask(sg.SIG_UNBLOCK, both).ok

    run_mock(program)
    assert order == [sg.SIGUSR2, sg.SIGUSR1]


@pytest.mark.parametrize(("flags", "result"), [(0, -E.EINTR), (sg.SA_RESTART, 1)])
def test_an_interrupted_call_ends_or_is_made_again(flags, result):
    def program(g):
        read, write = yield from g.make_pipe()

        def child(g):
            yield sleep(g, 1)
            yield g.kill(2, sg.SIGUSR1).ok
            yield sleep(g, 1)
            yield g.write(write, "x", 1).ok

        yield g.sigaction(sg.SIGUSR1, lambda g, *rest: None, flags).ok
        yield g.fork(child).ok
        data = g.buffer(1)
        assert (yield g.read(read, data, 1)) == result
        assert data.bytes() == (b"x" if result == 1 else b"\0")

    assert run_mock(program).status == 0


def test_a_failed_assertion_of_a_handler_fails_the_test():
    def handler(g, *rest):
        raise ValueError("in the handler")

    def program(g):
        yield g.sigaction(sg.SIGUSR1, handler).ok
        yield g.kill(2, sg.SIGUSR1)

    with pytest.raises(ValueError, match="in the handler"):
        run_mock(program)


def test_faults():
    assert run_mock(lambda g: (yield g.crash())).status == -sg.SIGSEGV
    assert run_mock(lambda g: (yield g.crash(sg.SIGFPE))).status == -sg.SIGFPE
    seen = []

    def handler(g, signo, info, ucontext):
        seen.append((signo, int.from_bytes(g.memory.read(info + 16, 8), "little")))
        yield g.exit_group(9)

    def program(g):
        yield g.sigaction(sg.SIGSEGV, handler).ok
        yield g.crash(address=0x1234)

    assert run_mock(program).status == 9
    assert seen == [(sg.SIGSEGV, 0x1234)]


def test_a_stopped_process_stands_still_until_it_is_continued():
    order = []

    def program(g):
        def child(g):
            while True:
                order.append("child")
                yield g.pause_turn()

        pid = yield g.fork(child)
        yield g.kill(pid, sg.SIGSTOP).ok
        assert (yield from g.waitpid(pid, 2)) == (pid, sg.SIGSTOP << 8 | 0x7F)
        order.clear()
        for _ in range(5):
            yield g.pause_turn()
        assert order == []
        yield g.kill(pid, sg.SIGCONT).ok
        for _ in range(5):
            yield g.pause_turn()
        assert order
        yield g.kill(pid, sg.SIGKILL).ok
        assert (yield from g.waitpid(pid)) == (pid, sg.SIGKILL)

    assert run_mock(program).status == 0


def test_the_platform_is_told_of_dispositions():
    def program(g):
        yield g.sigaction(sg.SIGUSR1, sg.SIG_IGN).ok
        assert sg.SIGACTION.unpack(g._thread.actions[sg.SIGUSR1])[0] == sg.SIG_IGN

        def child(g):
            yield g.getpid()
            assert sg.SIGUSR1 in g._thread.actions

        yield g.fork(child).ok
        yield from g.waitpid()

    assert run_mock(program).status == 0


# -- a sandbox that lives longer ------------------------------------------------------------------------------


def test_input_that_comes_later():
    stream = MockStream()
    stream.open_input()
    output = MockStream()
    sandbox = MockSandbox()

    def program(g):
        yield from g.write_all(1, (yield from g.read_bytes(0)))
        yield from g.write_all(1, (yield from g.read_all(0)))

    process = sandbox.spawn(program, streams=[stream, output])
    sandbox.settle()
    assert bytes(output.output) == b""
    stream.feed(b"one ")
    sandbox.settle()
    assert bytes(output.output) == b"one "
    stream.feed(b"two")
    stream.end()
    sandbox.run()
    assert bytes(output.output) == b"one two"
    assert process.status == 0
    sandbox.close()
    assert stream.closed
    assert output.closed


def test_a_reader_that_is_slow_or_gone():
    output = MockStream(capacity=4)
    sandbox = MockSandbox()
    sandbox.spawn(lambda g: (yield from g.write_all(1, "123456")), streams=[MockStream(), output])
    sandbox.settle()
    assert bytes(output.output) == b"1234"
    output.drain()
    sandbox.run()
    assert bytes(output.output) == b"123456"
    broken = MockStream()
    broken.hang_up()
    process = sandbox.spawn(lambda g: (yield g.write(1, "x", 1)), streams=[MockStream(), broken])
    sandbox.run()
    assert process.status == sg.SIGPIPE
    sandbox.close()


def test_files_are_put_and_read():
    sandbox = MockSandbox()
    sandbox.put("/a/b", {"c": "text", "d": {}})
    assert sandbox.read("/a/b/c") == b"text"

    def program(g):
        fd = yield g.open("/a/b/d/new", fc.O_CREAT | fc.O_WRONLY, 0o644).ok
        yield g.write(fd, "made", 4).ok

    run_mock(program, sandbox=sandbox)
    assert sandbox.read("/a/b/d/new") == b"made"


def test_closing_ends_every_guest():
    sandbox = MockSandbox()
    closed = []

    def program(g):
        try:
            yield g.pause()
        finally:
            closed.append(1)

    sandbox.spawn(program)
    sandbox.settle()
    sandbox.close()
    assert closed == [1]
    assert len(sandbox.kernel.processes) == 1
