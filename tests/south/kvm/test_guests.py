"""Whole sandboxes on KVM: programs of the host, and ELF files of a few instructions that try what they may not."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pylitebox.abi.elf import EHDR, ELFMAG, EM_X86_64, ET_EXEC, PF_R, PF_X, PHDR, PT_LOAD
from pylitebox.south.kvm.host import HypervisorError
from pylitebox.south.kvm.platform import probe

TEXT = 0x400000
EXIT_7 = "bf07000000 b8e7000000 0f05"  # exit_group(7)


@pytest.fixture(scope="module", autouse=True)
def _usable() -> None:
    try:
        probe()
    except HypervisorError as error:
        pytest.skip(str(error))


def run(*argv: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pylitebox", "run", "--platform=kvm", *options, "--", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def program(directory: Path, code: str) -> tuple[str, ...]:
    """The options and command that run ``code`` as a static program."""
    text = bytes.fromhex(code)
    head = EHDR.pack(ELFMAG + b"\2\1\1", ET_EXEC, EM_X86_64, 1, TEXT + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = 120 + len(text)
    (directory / "p").write_bytes(head + PHDR.pack(PT_LOAD, PF_R | PF_X, 0, TEXT, TEXT, size, size, 4096) + text)
    (directory / "p").chmod(0o755)
    directory.chmod(0o755)
    return (f"--mount={directory}:/t",)


def test_a_program_of_one_call(tmp_path: Path) -> None:
    assert run("/t/p", options=program(tmp_path, EXIT_7)).returncode == 7


@pytest.mark.parametrize(
    ("code", "signo"),
    [
        ("f4", signal.SIGSEGV), ("fa", signal.SIGSEGV), ("0f22d8", signal.SIGSEGV), ("e460", signal.SIGSEGV),
        ("e660", signal.SIGSEGV), ("0f30", signal.SIGSEGV), ("0f0b", signal.SIGILL), ("cc", signal.SIGTRAP),
        ("31c9f7f1", signal.SIGFPE), ("48b80000000000000080ff20", signal.SIGSEGV), ("31c08900", signal.SIGSEGV),
        ("6a00d92c24d9e8d9eedef99b", signal.SIGFPE),
    ],
    ids=["hlt", "cli", "mov-cr3", "in", "out", "wrmsr", "ud2", "int3", "div", "no-address", "null", "x87"],
)  # fmt: skip
def test_a_guest_gets_its_signal_and_nothing_else_happens(tmp_path: Path, code: str, signo: int) -> None:
    """In the same machine another program runs on."""
    shell = "/t/p & wait $!; echo $?; echo on"
    done = run("/bin/sh", "-c", shell, options=program(tmp_path, code + EXIT_7))
    assert done.stdout == f"{128 + signo}\non\n"


def test_signal_handlers_may_return_to_no_address(tmp_path: Path) -> None:
    """rt_sigreturn with a frame full of ones."""
    fill = "4881ec00100000 4889e7 b900010000 48c7c0ffffffff f348ab b80f000000 0f05"
    done = run("/bin/sh", "-c", "/t/p; echo $?", options=program(tmp_path, fill + EXIT_7))
    assert done.stdout == f"{128 + signal.SIGSEGV}\n"


@pytest.mark.skipif(shutil.which("busybox") is None, reason="there is no busybox")
def test_busybox() -> None:
    done = run("busybox", "sh", "-c", "busybox seq 3 | busybox sort -r | busybox tr '\\n' ' '; busybox uname -s")
    assert done.stdout == "3 2 1 Linux\n"


def test_pipelines_and_traps() -> None:
    script = "trap 'echo usr1' USR1; kill -USR1 $$; "
    script += "for i in 1 2 3; do echo $i; done | while read x; do echo $((x*x)); done"
    assert run("bash", "-c", script).stdout == "usr1\n1\n4\n9\n"


def test_threads_of_one_cpu_take_turns_and_children_are_waited_for() -> None:
    code = """
import subprocess, threading, time
stop = threading.Event()
counts = [0, 0]
def spin(i):
    while not stop.is_set():
        counts[i] += 1
threads = [threading.Thread(target=spin, args=(i,)) for i in range(2)]
[t.start() for t in threads]
out = subprocess.run(["/bin/echo", "child"], capture_output=True, text=True).stdout
while min(counts) < 100:
    time.sleep(0.01)
stop.set()
[t.join() for t in threads]
print(out, end="")
print(sum(x * 0.5 for x in range(1000)))
"""
    assert run("python3", "-c", code).stdout == "child\n249750.0\n"


def test_memory_has_the_size_that_was_asked_for() -> None:
    code = "b = bytearray()\ntry:\n  for _ in range(100): b += bytes(1 << 20)\n"
    code += "except MemoryError: pass\nprint(len(b) >> 20)"
    done = run("python3", "-c", code, options=("--memory=48m",))
    assert done.returncode in (0, 137)  # told by malloc, or ended when there was no page
    assert done.stdout != "100\n"
    assert run("python3", "-c", code, options=("--memory=256m",)).stdout == "100\n"


def test_a_guest_that_spins_is_ended_in_time() -> None:
    assert run("/bin/sh", "-c", "while :; do :; done", options=("--timeout=1",)).returncode == 124


def test_a_timer_ends_a_computation_that_began_in_the_same_turn() -> None:
    code = """
import signal
fired = []
signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
for count in range(1, 31):
    signal.setitimer(signal.ITIMER_REAL, 0.015)
    while len(fired) < count:
        pass
print(len(fired))
"""
    assert run("python3", "-c", code, options=("--timeout=60",)).stdout == "30\n"


def test_the_constants_of_the_program_are_those_of_the_structure() -> None:
    assert struct.calcsize("<16sHHIQQQIHHHHHH") == EHDR.size == 64
