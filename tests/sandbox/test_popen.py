"""run and Popen on the native platform, compared with what subprocess does on the host."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import pylitebox

pytestmark = pytest.mark.guest

SAME = [
    ({"args": ["echo", "hello"], "capture_output": True}),
    ({"args": ["echo", "hello"], "capture_output": True, "text": True}),
    ({"args": ["printf", "a\\r\\nb\\rc"], "capture_output": True, "text": True}),
    ({"args": ["cat"], "input": b"x" * 300_000, "capture_output": True}),
    ({"args": ["cat"], "input": "h\u00e9\n", "capture_output": True, "encoding": "utf-8"}),
    ({"args": ["sh", "-c", "echo out; echo err >&2; exit 3"], "capture_output": True}),
    ({"args": ["sh", "-c", "echo out; echo err >&2"], "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}),
    ({"args": ["sh", "-c", "kill -TERM $$"], "capture_output": True}),
    ({"args": ["cat"], "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}),
    ({"args": ["true"], "input": b"nobody reads this" * 10_000, "capture_output": True}),
    ({"args": ["sh", "-c", "pwd"], "cwd": "/usr", "capture_output": True}),
    ({"args": ["sh", "-c", "echo $A $B"], "env": {"A": "1", "PATH": "/usr/bin:/bin"}, "capture_output": True}),
    ({"args": "true", "capture_output": True}),
]


@pytest.fixture(scope="module")
def box():
    with pylitebox.Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("options", SAME, ids=lambda options: " ".join(options["args"])[:30])
def test_the_same_result_as_on_the_host(box, options):
    expected = subprocess.run(**options)  # noqa: PLW1510 - as the options say
    result = box.run(**options)
    assert type(result) is subprocess.CompletedProcess
    assert vars(result) == vars(expected)


FAILING = [
    {"args": ["no-such-program"]},
    {"args": ["/no/such/program"]},
    {"args": ["/etc/passwd"]},
    {"args": ["/usr"]},
    {"args": ["true"], "cwd": "/no/such/directory"},
    {"args": ["true"], "cwd": "/etc/passwd"},
    {"args": ["false"], "check": True},
    {"args": []},
    {"args": ["a\0b"]},
    {"args": ["true"], "input": b"", "stdin": subprocess.PIPE},
    {"args": ["true"], "capture_output": True, "stdout": subprocess.PIPE},
    {"args": ["true"], "stdin": 999},
    {"args": ["true"], "stdin": subprocess.STDOUT},
    {"args": ["true"], "stdout": "x"},
    {"args": ["true", 5]},
    {"args": 5},
    {"args": ["true", *["x" * 100_000] * 200]},
    {"args": ["printf", "\\377"], "capture_output": True, "encoding": "utf-8"},
    {"args": ["cat"], "input": "text", "capture_output": True},
    {"args": ["cat"], "input": b"bytes", "capture_output": True, "text": True},
    {"args": ["true"], "env": {"A=": "1"}},
    {"args": ["true"], "text": True, "universal_newlines": False},
    {"args": ["true"], "timeout": 0, "capture_output": True},
]


@pytest.mark.parametrize("options", FAILING, ids=lambda options: str(options)[:60])
def test_the_same_exception_as_on_the_host(box, options):
    with pytest.raises(Exception) as expected:
        subprocess.run(**options)  # noqa: PLW1510
    with pytest.raises(Exception) as raised:
        box.run(**options)
    if options["args"]:
        assert isinstance(raised.value, type(expected.value))
    if isinstance(raised.value, OSError):
        assert raised.value.errno == expected.value.errno
        assert raised.value.filename == expected.value.filename


def test_a_timeout_ends_the_program_and_keeps_its_output(box):
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        box.run(["sh", "-c", "echo so far; exec sleep 100"], capture_output=True, timeout=1)
    assert raised.value.stdout == b"so far\n"
    with pytest.raises(subprocess.TimeoutExpired):
        pylitebox.run(["sleep", "100"], timeout=0.3)


def test_a_conversation(box):
    with box.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("abc\n")
        process.stdin.flush()
        assert process.stdout.readline() == "abc\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        process.send_signal(signal.SIGTERM)  # nothing, as with subprocess
        assert process.returncode == process.poll() == -signal.SIGTERM


def test_communicate_goes_on_after_a_timeout(box):
    script = "echo a; while [ ! -e /tmp/go ]; do sleep 0.01; done; cat"
    with box.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(b"input", timeout=0.5)
        box.path("/tmp/go").touch()
        with pytest.raises(ValueError, match="after starting communication"):
            process.communicate(b"more")
        assert process.communicate(timeout=30) == (b"a\ninput", None)


def test_one_shot_runs_end_with_their_program():
    """A background process that keeps the pipe open does not keep run() waiting: its sandbox has ended."""
    result = pylitebox.run(["sh", "-c", "sleep 1000 & echo started"], capture_output=True, timeout=30)
    assert result.stdout == b"started\n"


def test_threads_share_a_sandbox_and_sandboxes_share_nothing(box):
    wrong = []

    def work(number):
        own = number % 2
        run = pylitebox.run if own else box.run
        result = run(["sh", "-c", f"echo {number}; [ -e /tmp/mark ] && echo mark"], capture_output=True, text=True)
        if result.stdout != (f"{number}\n" if own else f"{number}\nmark\n"):
            wrong.append(result)

    box.path("/tmp/mark").write_text("")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_program_of_the_host_outside_the_view_says_how_to_add_it(tmp_path, box):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(FileNotFoundError) as raised:
        box.run([str(program)])
    assert f"{tmp_path}:{tmp_path}:ro" in raised.value.__notes__[0]


def test_a_closed_sandbox_says_so():
    sandbox = pylitebox.Sandbox()
    sandbox.run(["true"])
    sandbox.close()
    sandbox.close()
    assert sandbox.closed
    with pytest.raises(pylitebox.SandboxError, match="closed"):
        sandbox.run(["true"])


def test_options_of_a_sandbox_cannot_change_it(box):
    with pytest.raises(TypeError):
        pylitebox.run(["true"], sandbox=box, hostname="x")


def test_an_unknown_platform_is_one_sentence():
    with pytest.raises(pylitebox.SandboxError, match="there is no platform 'x'"):
        pylitebox.run(["true"], platform="x")


def test_options_that_subprocess_has_and_we_do_not_say_why():
    with pytest.raises(TypeError, match=r"shell is not supported: name the shell: \['sh', '-c', command\]"):
        pylitebox.run("true", shell=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        pylitebox.run(["true"], nonsense=1)


def test_many_mounts(tmp_path):
    tmp_path.chmod(0o755)
    mounts = [pylitebox.Mount(tmp_path, f"/m/{number}") for number in range(50)]
    assert len(pylitebox.run(["ls", "/m"], mounts=mounts, capture_output=True).stdout.split()) == 50


def test_leaving_a_sandbox_open_is_no_warning():
    program = "import pylitebox; box = pylitebox.Sandbox(); box.run(['true'])"
    source = os.path.dirname(os.path.dirname(pylitebox.__file__))
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], env={"PYTHONPATH": source}, capture_output=True, check=True
    )
    assert result.stderr == b""
