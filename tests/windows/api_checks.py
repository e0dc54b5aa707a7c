"""The Python API on a host that is no Linux: run there, with PYLITEBOX_ROOTFS naming an archive that has bash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pylitebox


@pytest.fixture(scope="module")
def box() -> Iterator[pylitebox.Sandbox]:
    with pylitebox.Sandbox(platform="emulator", rootfs=os.environ["PYLITEBOX_ROOTFS"]) as sandbox:
        yield sandbox


def test_captured_output_and_input(box: pylitebox.Sandbox) -> None:
    done = box.run(["bash", "-c", "cat; echo err >&2; exit 3"], input="through\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "through\n", "err\n")
    data = os.urandom(300_000)
    assert box.run(["cat"], input=data, capture_output=True, timeout=100).stdout == data


def test_files(box: pylitebox.Sandbox) -> None:
    box.path("/app/inner").mkdir(parents=True)
    box.path("/app/inner/f").write_text("text")
    assert box.run(["cat", "inner/f"], cwd="/app", capture_output=True).stdout == b"text"
    assert [path.name for path in box.path("/app").iterdir()] == ["inner"]
    with pytest.raises(FileNotFoundError):
        box.path("/none").read_bytes()
    with pytest.raises(OSError, match="not empty"):
        box.path("/app").rmdir()


def test_errors_and_ends(box: pylitebox.Sandbox) -> None:
    with pytest.raises(FileNotFoundError):
        box.run(["/no/such/program"])
    with pytest.raises(subprocess.TimeoutExpired):
        box.run(["sleep", "1000"], timeout=1)
    program = box.Popen(["sleep", "1000"])
    assert program.poll() is None
    program.terminate()
    assert program.wait(100) == -15


def test_mounts_of_directories(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"here")
    rootfs, mounts = os.environ["PYLITEBOX_ROOTFS"], [pylitebox.Mount(tmp_path, "/host", "rw")]
    done = pylitebox.run(
        ["bash", "-c", "cat /host/in > /host/out && cat /host/out"], rootfs=rootfs, mounts=mounts, platform="emulator",
        capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"here")
    assert (tmp_path / "out").read_bytes() == b"here"


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pylitebox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize(
    ("command", "text"), [("doctor", "a CPU in software"), ("surface", "guest: "), ("syscalls", "openat")]
)
def test_the_command_line_tells(command: str, text: str) -> None:
    done = command_line(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert text in done.stdout


def test_a_trace_and_a_time_out(tmp_path: Path) -> None:
    run = ["run", "--platform", "emulator", "--rootfs", os.environ["PYLITEBOX_ROOTFS"]]
    done = command_line(*run, "--strace-output", str(tmp_path / "trace"), "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "exit_group(0)" in (tmp_path / "trace").read_text()
    done = command_line(*run, "--timeout", "2", "--", "sleep", "1000")
    assert (done.returncode, done.stderr) == (124, "pylitebox: the time is up\n")


@pytest.mark.skipif(sys.platform == "linux", reason="Linux has programs of its own to show")
def test_what_cannot_be_had() -> None:
    with pytest.raises(pylitebox.OptionError, match="no Linux programs"):
        pylitebox.Sandbox()
    with pytest.raises(pylitebox.OptionError, match="a rootfs has its own"):
        pylitebox.Sandbox(python=True, rootfs=os.environ["PYLITEBOX_ROOTFS"])
    with pytest.raises(pylitebox.SandboxError, match="platform native needs Linux"):
        pylitebox.run(["true"], platform="native", rootfs=os.environ["PYLITEBOX_ROOTFS"])
