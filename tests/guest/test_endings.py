"""However a run ends, nothing is left: clients or supervisors killed, time-outs; bad input has one sentence."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.guest.harness import Runner

TIMES = 50 if "PYLITEBOX_LONG" in os.environ else 10
LOAD = "echo started; while :; do (seq 200 | sort -n | tail -1) > /dev/null & (exit 1); wait; done"


def start_load(runner: Runner) -> subprocess.Popen[bytes]:
    """A sandbox under load, after its first output."""
    process = runner.start(["bash", "-c", LOAD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    return process


def descendants(pid: int) -> list[int]:
    """The host's processes below ``pid``, nearest first."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return found


def finish(process: subprocess.Popen[bytes]) -> int:
    """The status, which must come soon."""
    try:
        return process.wait(10)
    finally:
        process.kill()
        process.communicate()


MAPS = """
import mmap, os
names = [f"/usr/share/common-licenses/{name}" for name in ("GPL-3", "Apache-2.0", "GPL-2", "LGPL-2.1")]
texts = [open(name, "rb").read(64) for name in names]
print("started", flush=True)
for number in range(1500):
    fd = os.open(names[number % 4], os.O_RDONLY)
    with mmap.mmap(fd, 4096, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as mapped:
        assert mapped[:64] == texts[number % 4]
    os.close(fd)
print("mapped")
"""


def test_a_supervisor_that_is_stopped_again_and_again(runner: Runner) -> None:
    """As a debugger, a freezer or job control do: no call of the guest is lost or answered wrongly."""
    process = runner.start(["/usr/bin/python3", "-c", MAPS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    supervisor = descendants(process.pid)[0]
    deadline = time.monotonic() + 60
    try:
        while process.poll() is None and time.monotonic() < deadline:
            os.kill(supervisor, signal.SIGSTOP)
            os.kill(supervisor, signal.SIGCONT)
            time.sleep(0.0003)  # it must come forward, too
    except ProcessLookupError:
        pass  # it has ended
    assert process.stdout.read() == b"mapped\n"
    assert finish(process) == 0


@pytest.mark.timeout(300)
def test_sigkill_of_the_client(runner: Runner) -> None:
    for number in range(TIMES):
        process = start_load(runner)
        time.sleep(number % 10 / 200)  # at another moment each time
        process.kill()
        assert finish(process) == -signal.SIGKILL
        assert runner.leftovers() == []


@pytest.mark.timeout(300)
def test_sigkill_of_the_supervisor(runner: Runner) -> None:
    for number in range(TIMES):
        process = start_load(runner)
        time.sleep(number % 10 / 200)
        os.kill(descendants(process.pid)[0], signal.SIGKILL)
        assert finish(process) == 125
        assert runner.leftovers() == []


@pytest.mark.parametrize(("signo", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_are_forwarded(runner: Runner, signo: signal.Signals, status: int) -> None:
    process = runner.start(["bash", "-c", "echo started; exec sleep 60"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signo)
    assert finish(process) in (status, -signo)


def test_timeout(runner: Runner) -> None:
    outcome = runner.run(["bash", "-c", "trap '' TERM; while :; do :; done & wait"], "--timeout=0.5")
    assert outcome.status == 124


@pytest.mark.parametrize(
    ("argv", "options", "status"),
    [
        (["/nonexistent"], [], 127),
        (["nonexistent"], [], 127),
        (["/etc/passwd"], [], 126),
        (["/etc"], [], 126),
        (["true"], ["--mount=/nonexistent:/mnt"], 125),
        (["true"], ["--mount=relative"], 125),
        (["true"], ["--cwd=/nonexistent"], 125),
        (["true"], ["--timeout=never"], 125),
        (["true"], ["--user=-5"], 125),
        (["true"], ["--platform=nonexistent"], 125),
        (["true"], ["--nonexistent"], 125),
    ],
)
def test_bad_input(runner: Runner, argv: list[str], options: list[str], status: int) -> None:
    """One clear sentence, the right status, no traceback."""
    outcome = runner.run(argv, *options)
    assert outcome.status == status, outcome
    assert "Traceback" not in outcome.stderr
    lines = [line for line in outcome.stderr.splitlines() if not re.match(r"usage:|\s", line)]
    assert len(lines) == 1, outcome.stderr
    assert outcome.stdout == ""
