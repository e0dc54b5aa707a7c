"""A supervisor that is a program of its own, as on Windows and macOS: here the client alone believes to be on such a
host, and everything else is what runs there. The programs are this machine's, by its root directory mounted at /."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

import pylitebox
from pylitebox.sandbox import options

pytest.importorskip("unicorn")
pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]
#: A program whose client is elsewhere; its arguments are those of the command line.
ELSEWHERE = """
import sys, os
sys.platform = "darwin"
del os.O_PATH
from pylitebox.cli.main import entry
entry()
"""


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(options, "LINUX", False)
    monkeypatch.setattr(options, "DIRECTORY_DESCRIPTORS", False)


@pytest.fixture
def box(elsewhere: None) -> Iterator[pylitebox.Sandbox]:
    with pylitebox.Sandbox(platform="emulator", mounts=["/:/:ro"], tmpfs=["/tmp"], env={"PATH": "/usr/bin"}) as sandbox:
        yield sandbox


def test_streams_and_statuses(box: pylitebox.Sandbox) -> None:
    done = box.run(["sh", "-c", "read x; echo $x; echo err >&2; exit 3"], input=b"line\n", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"line\n", b"err\n")
    assert box.run(["sh", "-c", "kill -9 $$"]).returncode == -9
    assert box.run(["true"], stdin=subprocess.DEVNULL).returncode == 0
    with pytest.raises(FileNotFoundError):
        box.run(["/no/such/program"])


def test_much_output_and_input(box: pylitebox.Sandbox) -> None:
    data = os.urandom(700_000)
    assert box.run(["cat"], input=data, capture_output=True).stdout == data
    assert len(box.run(["head", "-c", "600000", "/dev/zero"], capture_output=True).stdout) == 600_000


def test_nobody_reads(box: pylitebox.Sandbox) -> None:
    """A program that writes for ever is told, one write later."""
    reader, writer = os.pipe()
    script = "while echo y; do :; done; exit 5"
    with box.Popen(["sh", "-c", script], stdout=writer, stderr=subprocess.DEVNULL) as program:
        os.close(writer)
        assert os.read(reader, 2) == b"y\n"
        os.close(reader)
        assert program.wait(100) in (5, -13)


def test_files(box: pylitebox.Sandbox, tmp_path: object) -> None:
    path = box.path("/tmp/f")
    path.write_bytes(b"x" * 300_000)
    assert path.read_bytes() == b"x" * 300_000
    assert box.run(["wc", "-c", "/tmp/f"], capture_output=True).stdout.split() == [b"300000", b"/tmp/f"]
    with pytest.raises(OSError, match="Read-only"):
        box.path("/usr/f").write_bytes(b"")


def test_a_regular_file_is_a_stream(box: pylitebox.Sandbox, tmp_path: object) -> None:
    with open(f"{tmp_path}/in", "w+b") as source, open(f"{tmp_path}/out", "w+b") as target:
        source.write(b"b\na\n")
        source.flush()
        source.seek(0)
        assert box.run(["sort"], stdin=source, stdout=target).returncode == 0
        target.seek(0)
        assert target.read() == b"a\nb\n"


def test_programs_end_with_their_sandbox_and_in_time(box: pylitebox.Sandbox) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sleep", "1000"], timeout=0.5)
    program = box.Popen(["sleep", "1000"])
    program.terminate()
    assert program.wait(60) == -15


@pytest.mark.usefixtures("elsewhere")
def test_what_cannot_be_had_there() -> None:
    with pytest.raises(pylitebox.OptionError, match="no Linux programs: name a tree"):
        pylitebox.Sandbox(platform="emulator")
    with pytest.raises(pylitebox.OptionError, match="no Linux program: a rootfs has its own"):
        pylitebox.Sandbox(platform="emulator", python=True, mounts=["/:/:ro"])
    with pytest.raises(pylitebox.OptionError, match="cannot mount /nowhere: No such file"):
        pylitebox.Sandbox(platform="emulator", mounts=["/nowhere:/:ro"])


def command_line(*arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", ELSEWHERE, "run", "--platform", "emulator", *arguments]
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        command, capture_output=True, timeout=200, check=False, **more
    )
    return done


def test_the_command_line() -> None:
    done = command_line("--mount", "/:/", "--", "sh", "-c", "cat; exit 4", input=b"through")
    assert (done.returncode, done.stdout, done.stderr) == (4, b"through", b"")
    done = command_line("--mount", "/:/", "--timeout", "1", "--", "sleep", "100")
    assert (done.returncode, done.stderr) == (124, b"pylitebox: the time is up\n")
    done = command_line("--", "true")
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)
    done = command_line("--mount", "/:/", "--strace", "--", "true")
    assert b"exit_group(0)" in done.stderr


def _busybox() -> str:
    if not os.path.exists("/usr/bin/busybox"):
        pytest.skip("no busybox: apt-get install busybox-static")
    return "/usr/bin/busybox"


def test_an_archive(tmp_path: object) -> None:
    with tarfile.open(f"{tmp_path}/root.tar.gz", "w:gz") as archive:
        archive.add(_busybox(), "bin/sh")
    done = command_line("--rootfs", f"{tmp_path}/root.tar.gz", "--", "/bin/sh", "-c", "echo $0")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"/bin/sh\n", b"")


def test_a_client_that_dies_takes_its_sandbox_along() -> None:
    program = ["sh", "-c", "echo on; sleep 1000"]
    command = [sys.executable, "-c", ELSEWHERE, "run", "--platform", "emulator", "--mount", "/:/", "--", *program]
    reader, writer = os.pipe()  # the supervisor holds it as its program's standard output
    client = subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert os.read(reader, 3) == b"on\n"
    client.kill()
    client.communicate()
    assert os.read(reader, 1) == b""
    os.close(reader)
