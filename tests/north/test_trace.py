"""What --strace and --summary print, and the table of support."""

import json
import re
from pathlib import Path

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import ioctl as io
from pylitebox.abi import signal
from pylitebox.abi.numbers import AARCH64, X86_64
from pylitebox.kernel.process import exit_process
from pylitebox.north.linux import support
from pylitebox.north.linux.summary import Summary
from pylitebox.north.linux.trace import Tracer, show_result
from tests.north.bench import PARKED


@pytest.fixture
def lines(bench):
    collected = []
    Tracer(collected.append).install(bench.personality)
    return collected


def calls(lines):
    """The trace without ids and durations."""
    return [re.sub(r" <\d+\.\d{6}>$", "", line[6:].rstrip("\n")) for line in lines]


def test_calls_are_decoded(bench, lines):
    g = bench.guest()
    fd = g("openat", fc.AT_FDCWD, "new\n", fc.O_CREAT | fc.O_RDWR | fc.O_CLOEXEC, 0o640)
    g("write", fd, b"hello", 5)
    g("lseek", fd, 0, 0)
    g("read", fd, bytearray(5), 100)
    g("openat", fc.AT_FDCWD, "missing", fc.O_RDONLY, 0)
    g("renameat2", fc.AT_FDCWD, "a", 3, "b", fc.RENAME_NOREPLACE)
    assert calls(lines)[:3] == [
        r'openat(AT_FDCWD, "new\n", O_RDWR|O_CREAT|O_CLOEXEC, 0640) = 0',
        'write(0, "hello", 5) = 5',
        "lseek(0, 0, SEEK_SET) = 0",
    ]
    assert calls(lines)[3] == 'read(0, "hello", 100) = 5'
    assert calls(lines)[4] == 'openat(AT_FDCWD, "missing", O_RDONLY) = -1 ENOENT'
    assert calls(lines)[5] == 'renameat2(AT_FDCWD, "a", 3, "b", RENAME_NOREPLACE) = -1 EBADF'
    assert all(line.startswith(f"{g.task.tid:>5} ") and line.endswith(">\n") for line in lines)


def test_names_of_one_prefix_are_kept_apart(bench, lines):
    g = bench.guest()
    for command in (fc.F_DUPFD, fc.F_GETFD, fc.F_SETFL, fc.F_SETOWN, fc.F_GETSIG, fc.F_ADD_SEALS):
        g("fcntl", 9, command, 0)
    names = [re.findall(r"F_\w+", line)[0] for line in calls(lines)]
    assert names == ["F_DUPFD", "F_GETFD", "F_SETFL", "F_SETOWN", "F_GETSIG", "F_ADD_SEALS"]


def test_requests_are_named_and_what_the_platform_finishes_is_known(bench, lines):
    g = bench.guest()
    g("ioctl", 9, io.TCGETS, 0x1000)
    g("ioctl", 9, 0x1234, 0)
    child = g("fork")
    g("clone", signal.SIGCHLD, 0, 0, 0, 0)
    assert calls(lines)[:2] == ["ioctl(9, TCGETS, 0x1000) = -1 EBADF", "ioctl(9, 0x1234, NULL) = -1 EBADF"]
    tids = sorted(g.task.kernel.tasks)[-2:]
    assert child is None or child == tids[0]
    assert [line.rpartition(" = ")[2] for line in calls(lines)[2:]] == [str(tid) for tid in tids]


def test_what_cannot_be_read_is_a_number(bench, lines):
    g = bench.guest()
    g("chdir", 0x1234)
    g("chdir", 0)
    g("write", 1, 0x1234, 5)
    bench.personality.syscall(g.task, 999, (1, 2, 3, 4, 5, 6))
    assert calls(lines) == [
        "chdir(0x1234) = -1 EFAULT",
        "chdir(NULL) = -1 EFAULT",
        "write(1, 0x1234, 5) = -1 EBADF",
        "syscall(999, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS",
    ]


def test_parked_calls_are_resumed(bench, lines):
    g = bench.guest()
    other = bench.thread(g)
    g("pipe2", bytearray(8), 0)
    g("read", 0, bytearray(4), 4)
    bench.platform.time_ns += 1_500_000_000
    other("write", 1, b"ab", 2)
    bench.run()
    assert "read(0, 0x" in lines[1]
    assert lines[1].endswith(", 4 <unfinished ...>\n")
    assert calls(lines)[2] == 'write(1, "ab", 2) = 2'
    assert lines[3] == f"{g.task.tid:>5} <... read resumed>) = 2 <1.500000>\n"
    assert g.result == 2


def test_ends_are_noted(bench, lines):
    g, other = bench.guest(), bench.guest()
    g("dup", 9)
    other("dup", 9)
    exit_process(g.task.process, 3 << 8)
    exit_process(other.task.process, 9)
    assert calls(lines)[2:] == ["+++ exited with 3 +++", "+++ killed by SIGKILL +++"]


def test_results():
    assert show_result("read", -E.EPERM) == "-1 EPERM"
    assert show_result("read", -512) == "? ERESTARTSYS"
    assert show_result("mmap", 0x7F00) == "0x7f00"
    assert show_result("execve", None) == "?"


def test_summary(bench):
    summary = Summary()
    summary.install(bench.personality)
    g = bench.guest()
    other = bench.thread(g)
    g("pipe2", bytearray(8), 0)
    assert g("read", 0, bytearray(4), 4) is PARKED
    g.task.files.files[0].flags |= 0
    other("close", 1)
    bench.run()
    assert g.result == 0
    g("dup", 99)
    g("dup", 0)
    bench.personality.syscall(g.task, 999, (0,) * 6)
    rows = {line.split()[-1]: line.split() for line in summary.render().splitlines()[2:]}
    assert rows["dup"][3:] == ["2", "1", "dup"]
    assert rows["read"][3:] == ["1", "read"]
    assert rows["total"][2:] == ["6", "2", "total"]
    assert "syscall_999 (not implemented)" in summary.render()


# -- the table of support -----------------------------------------------------------------------------------------


def test_numbers_are_the_kernels():
    for row in support.rows():
        assert X86_64.get(row.name) == row.x86_64, row.name
        assert AARCH64.get(row.name) == row.aarch64, row.name


def test_every_row_compiles_and_says_what_it_is():
    for row in support.rows():
        row.entry()
        row.decoder()
        assert len(row.kinds) <= 6
        if row.support.level == "full":
            assert row.test, f"{row.name} is full, and no test checks it"
        else:
            assert row.support.note, f"{row.name} does not say what is missing"


def test_the_document_is_up_to_date():
    document = Path(__file__).parents[2] / "docs" / "syscalls.md"
    assert document.read_text() == support.render("markdown"), "run python3 -m pylitebox.north.linux.support"


def test_every_full_row_names_a_test():
    tests = Path(__file__).parents[1]
    names = {path.stem for path in tests.rglob("test_*.py")}
    for path in tests.rglob("test_*.py"):
        names.update(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))
    missing = {row.name: row.test for row in support.rows() if row.support.level == "full" and row.test not in names}
    assert not missing


def test_enough_is_implemented():
    have = support.counts(support.rows())
    assert have["full"] + have["partial"] >= 120


def test_renderings_agree():
    rows = support.rows()
    data = json.loads(support.render("json"))
    assert [entry["name"] for entry in data] == [row.name for row in rows]
    assert support.render("table").count("\n") == len(rows) + 2
    assert support.render("markdown").count("\n| `") == len(rows)
    openat = next(entry for entry in data if entry["name"] == "openat")
    assert (openat["x86_64"], openat["aarch64"], openat["support"]) == (257, 56, "full")
