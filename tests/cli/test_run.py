"""``pylitebox run``: statuses, sentences, signals, streams; and that nothing is left behind."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

import pylitebox

pytestmark = pytest.mark.guest

SOURCE = os.path.dirname(os.path.dirname(pylitebox.__file__))
COMMAND = [sys.executable, "-W", "error", "-m", "pylitebox"]
ENVIRON = {**os.environ, "PYTHONPATH": SOURCE}


def pylitebox_run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, "run", *arguments], env=ENVIRON, capture_output=True, text=True, errors="surrogateescape",
        timeout=60, check=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--", "true"], 0, ""),
        (["--", "false"], 1, ""),
        (["true"], 0, ""),
        (["sh", "-c", "exit 7"], 7, ""),
        (["--", "sh", "-c", "kill -KILL $$"], 137, ""),
        (["--", "sh", "-c", "kill -TERM $$"], 143, ""),
        (["--timeout", "0.3", "--", "sleep", "100"], 124, "the time is up"),
        (["--", "no-such-program"], 127, "no-such-program: not found"),
        (["--", "/no/such"], 127, "/no/such: No such file or directory"),
        (["--", "/etc/passwd"], 126, "/etc/passwd: Permission denied"),
        (["--", "/usr"], 126, "/usr: Permission denied"),
        (["--cwd", "/no/such", "--", "true"], 125, "/no/such: No such file or directory"),
        ([], 125, "no PROGRAM is given: .*"),
        (["--"], 125, "no PROGRAM is given: .*"),
        (["--bad", "--", "true"], 125, "there is no option --bad .*"),
        (["--mount", "x", "--", "true"], 125, "mount 'x' is not of the form HOST:GUEST.*"),
        (["--mount", "/no/such:/x", "--", "true"], 125, "cannot mount /no/such: No such file or directory"),
        (["--workspace", "/etc/passwd", "--", "true"], 125, r"cannot mount /etc/passwd: Not a directory \(.*"),
        (["--env", "A", "--", "true"], 125, "environment 'A' is not of the form NAME=VALUE"),
        (["--user", "x", "--", "true"], 125, "user 'x' is not of the form .*"),
        (["--timeout", "x", "--", "true"], 125, "timeout 'x' is no number of seconds above zero"),
        (["--tmpfs", "/x:big", "--", "true"], 125, "size 'big' is no number of bytes .*"),
        (["--platform", "x", "--", "true"], 125, "there is no platform 'x' here; there are native, kvm, emulator"),
        (["--mount", "/usr:/x", "--mount", "/etc:/x/a/b", "--", "true"], 125, "nothing .* at /x/a/b: Read-only .*"),
        (["--mount", "/usr:/x", "--mount", "/etc:/x", "--", "true"], 125, "two things cannot be mounted at /x"),
        (["--", "/"], 126, "/: Permission denied"),
        (["--", "\udcff"], 127, r"\\udcff: not found"),
        (["--", "printf", "\udcff"], 0, ""),
        (["--strace-output", "/no/such/file", "--", "true"], 125, "cannot write /no/such/file: No such .*"),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, list) else "",
)
def test_status_and_sentence(arguments, status, sentence):
    result = pylitebox_run(*arguments)
    assert result.returncode == status, result.stderr
    assert re.fullmatch(f"pylitebox: {sentence}\n" if sentence else "", result.stderr), result.stderr
    assert result.stdout == ("\udcff" if "printf" in arguments else "")


def test_writing_to_a_full_device_and_to_a_pipe_that_is_closed_early():
    for script, status, errors in (
        ("{} run -- echo x > /dev/full", 1, "echo: write error: No space left on device\n"),
        ("{} run -- yes | head -1; exit ${{PIPESTATUS[0]}}", 141, ""),
        ("{} run -- cat <&-", 1, "cat: -: Bad file descriptor\ncat: closing standard input: Bad file descriptor\n"),
    ):
        result = subprocess.run(
            ["bash", "-c", script.format(" ".join(COMMAND))], env=ENVIRON, capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (status, errors)


def test_mounts_in_each_mode(tmp_path):
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "file").write_text("old\n")
    (tmp_path / "secret").write_text("secret\n")
    (work / "out").symlink_to(tmp_path / "secret")
    (work / "up").symlink_to("../secret")
    (work / "in").symlink_to("file")
    tmp_path.chmod(0o755)
    script = "cd /w; cat in; cat out up; echo new > file; cat file; rmdir sub; mkdir made; ln -s /etc/shadow link; true"
    for mode, output in (("ro", "old\nold\n"), ("cow", "old\nnew\n"), ("rw", "old\nnew\n")):
        result = pylitebox_run("--mount", f"{work}:/w:{mode}", "--", "sh", "-c", script)
        assert result.stdout == output
        assert "secret\n" not in result.stdout
        assert result.stderr.count("No such file") == 2  # the links that lead outside
        names = {"file", "in", "out", "sub", "up"} if mode != "rw" else {"file", "in", "link", "made", "out", "up"}
        assert {path.name for path in work.iterdir()} == names
        assert (work / "file").read_text() == ("old\n" if mode != "rw" else "new\n")
    assert (tmp_path / "secret").read_text() == "secret\n"


def test_what_is_mounted_beneath_a_mount_is_seen(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "sub").mkdir()
    size = "df -k sub | tail -1 | tr -s ' ' | cut -d' ' -f2"
    options = ("--workspace", str(tmp_path), "--tmpfs", f"{tmp_path}/sub:1m")
    assert pylitebox_run(*options, "--", "sh", "-c", size).stdout == "1024\n"


def test_memory_that_is_asked_for_is_there_beside_the_rest():
    def size(*options):
        result = pylitebox_run(*options, "--", "sh", "-c", "df -m --output=size / | tail -1")
        return int(result.stdout)

    assert size("--tmpfs", "/x:2g", "--tmpfs", "/y") == size() + 2048


def test_a_directory_as_the_root():
    script = "echo x > /dev/null && cd /proc/self && [ -e exe ] && touch /usr/mine && ls /usr/mine"
    result = pylitebox_run("--mount", "/:/:cow", "--", "sh", "-c", script)
    assert (result.stdout, result.stderr) == ("/usr/mine\n", "")
    assert not os.path.exists("/usr/mine")


def test_a_sandbox_in_a_sandbox_says_no():
    result = pylitebox_run(
        "--python", "--mount", f"{SOURCE}:/src", "--env", "PYTHONPATH=/src", "--",
        sys.executable, "-m", "pylitebox", "run", "--", "true",
    )  # fmt: skip
    assert result.returncode == 125
    assert result.stderr == (
        "pylitebox: this is a sandbox of pylitebox already, and its kernel cannot hold another one\n"
    )


def test_a_host_path_outside_the_view_names_the_option(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    result = pylitebox_run("--", str(program))
    option = f"{tmp_path}:{tmp_path}:ro"
    assert result.returncode == 127
    assert f"--mount {option}" in result.stderr
    assert pylitebox_run("--mount", option, "--", str(program)).stdout == "ran\n"


def test_what_a_visible_program_leads_to_is_named_with_the_option(tmp_path):
    tmp_path.chmod(0o755)
    for name in ("elsewhere", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere/python3").write_bytes(b"")
    (tmp_path / "work/link").symlink_to(tmp_path / "elsewhere/python3")
    (tmp_path / "work/script").write_text(f"#!{tmp_path}/elsewhere/python3 -x\n")
    (tmp_path / "work/script").chmod(0o755)
    for name in ("./link", "./script"):
        result = pylitebox_run("--workspace", str(tmp_path / "work"), "--", name)
        assert result.returncode == 127
        assert f"--python={tmp_path}/elsewhere/python3" in result.stderr
        assert result.stderr.startswith(f"pylitebox: {tmp_path}/work/{name[2:]} ")


def test_a_current_directory_that_is_gone(tmp_path):
    (tmp_path / "gone").mkdir()
    gone = "is relative to a current directory that does not exist any more"
    for arguments, status, sentence in (
        ("-- true", 0, ""),
        ("-- ./x", 127, "./x: No such file or directory"),
        ("--workspace . -- true", 125, f". {gone}"),
        ("--mount x:/x -- true", 125, f"x {gone}"),
    ):
        command = f"cd {tmp_path}/gone && rmdir ../gone && {' '.join(COMMAND)} run {arguments}; mkdir {tmp_path}/gone"
        command = command.replace("; mkdir", "; status=$?; mkdir") + "; exit $status"
        result = subprocess.run(["sh", "-c", command], env=ENVIRON, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (status, f"pylitebox: {sentence}\n" if sentence else "")


def test_errors_without_a_standard_error_stream():
    for arguments, status in (("no-such-program", 127), ("--bad", 125), ("--user x true", 125)):
        command = f"{' '.join(COMMAND)} run {arguments} 2>&-"
        result = subprocess.run(["sh", "-c", command], env=ENVIRON, stdout=subprocess.PIPE, check=False)
        assert (result.returncode, result.stdout) == (status, b"")


def test_what_the_program_sees_is_what_the_options_say(tmp_path):
    script = "id -u; id -g; hostname; pwd; env | sort; df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f2"
    result = pylitebox_run(
        *("--user", "12:34", "--hostname", "box", "--env", "A=1", "--env", "PATH=/usr/bin:/bin"),
        *("--cwd", "/usr", "--tmpfs", "/scratch:1m", "--", "sh", "-c", script),
    )
    assert result.stdout.split("\n") == [
        "12", "34", "box", "/usr", "A=1", "HOME=/tmp", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "PWD=/usr", "1024", "",
    ]  # fmt: skip


def test_the_calling_python_runs_a_script_of_the_workspace(tmp_path):
    (tmp_path / "script.py").write_text("import sys, json; print(sys.prefix, sys.argv[1:])")
    tmp_path.chmod(0o755)
    result = pylitebox_run(
        "--python", "--workspace", str(tmp_path), "--", sys.executable, "script.py", "a", "--", "--b"
    )
    assert result.stdout == f"{sys.prefix} ['a', '--', '--b']\n", result.stderr


def test_a_venv_is_shown_with_its_packages(tmp_path):
    tmp_path.chmod(0o755)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run(
        [python, "-c", "import site; open(site.getsitepackages()[0] + '/mine.py', 'w').write('x = 5')"], check=True
    )
    program = "import mine, sys; print(mine.x, sys.prefix != sys.base_prefix)"
    result = pylitebox_run(f"--python={python}", "--", str(python), "-c", program)
    assert result.stdout == "5 True\n", result.stderr


def test_streams_of_every_kind(tmp_path):
    (tmp_path / "in").write_text("from a file")
    with (tmp_path / "in").open() as given, (tmp_path / "out").open("w") as taken:
        status = subprocess.run(
            [*COMMAND, "run", "--", "sh", "-c", "cat; echo err >&2"], env=ENVIRON, stdin=given, stdout=taken,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    assert status.returncode == 0
    assert (tmp_path / "out").read_text() == "from a fileerr\n"
    assert pylitebox_run("--", "cat", input="x" * 200_000).stdout == "x" * 200_000
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"from a socket")
        ours.shutdown(socket.SHUT_WR)
        subprocess.run([*COMMAND, "run", "--", "cat"], env=ENVIRON, stdin=theirs, stdout=theirs, check=True)
        assert ours.recv(100) == b"from a socket"


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stay_closed(redirections, tmp_path):
    """And nothing of ours takes their place."""
    tmp_path.chmod(0o777)
    script = f"for fd in 0 1 2; do readlink /proc/self/fd/$fd >> {tmp_path}/found; done; true"
    command = f"{' '.join(COMMAND)} run --workspace {tmp_path}:rw -- sh -c '{script}' {redirections}"
    assert subprocess.run(["sh", "-c", command], env=ENVIRON, check=False).returncode == 0
    assert "socket" not in (tmp_path / "found").read_text()


def test_a_terminal_is_a_terminal_and_keeps_its_flags():
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", "--", "sh", "-c", "[ -t 0 ] && [ -t 1 ] && read x && echo got $x"],
        env=ENVIRON, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.write(master, b"line\n")
    assert process.wait(60) == 0
    assert os.get_blocking(slave)
    assert b"got line" in os.read(master, 1000)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("script", "key", "status", "output"),
    [
        ("echo ready; exec sleep 1000", b"\x03", 130, b""),
        ("echo ready; exec sleep 1000", b"\x1c", 131, b""),
        ("trap 'echo got it; exit 3' INT; echo ready; while :; do sleep 0.01; done", b"\x03", 3, b"got it"),
        ("echo ready; cat; echo end", b"\x04", 0, b"end"),
    ],
    ids=["interrupt", "quit", "trap", "end of file"],
)
def test_keys_of_the_terminal(script, key, status, output):
    pid, master = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*COMMAND, "run", "--", "sh", "-c", script], ENVIRON)
    shown = b""
    while b"ready" not in shown:
        shown += os.read(master, 1000)
    below = descendants(pid)
    os.write(master, key)
    _, code = os.waitpid(pid, 0)
    try:
        while data := os.read(master, 1000):
            shown += data
    except OSError:  # EIO: nobody has the terminal open any more
        pass
    os.close(master)
    assert os.waitstatus_to_exitcode(code) == status
    assert output in shown
    assert all_gone(below)


def test_a_trace_that_cannot_be_written_is_said_once():
    result = pylitebox_run("--strace-output", "/dev/full", "--", "echo", "hello")
    assert (result.returncode, result.stdout) == (0, "hello\n")
    assert result.stderr == "pylitebox: the trace cannot be written: No space left on device\n"


def test_strace_and_summary(tmp_path):
    trace = tmp_path / "trace"
    result = pylitebox_run("--strace-output", str(trace), "--summary", "--", "cat", "/etc/passwd")
    assert 'openat(AT_FDCWD, "/etc/passwd", O_RDONLY' in trace.read_text()
    assert "openat" in result.stderr
    assert "usecs/call" in result.stderr
    assert "+++ exited with 0 +++" in pylitebox_run("--strace", "--", "true").stderr


# -- signals and ends -------------------------------------------------------------------------------------------


def start(script):
    """A run that says ``ready`` on its standard output."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--", "sh", "-c", script], env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def descendants(pid):
    """Every process below ``pid``, by (pid, start time)."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(name)] = (int(fields[1]), fields[19])
    found = {pid}
    while more := {child for child, (parent, _) in parents.items() if parent in found} - found:
        found |= more
    return {(child, parents[child][1]) for child in found if child != pid}


def all_gone(processes):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = set()
        for pid, begun in processes:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[19] == begun and fields[0] != "Z":
                left.add(pid)
        if not left:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("script", "signo", "status"),
    [
        ("echo ready; exec sleep 1000", signal.SIGINT, 130),
        ("echo ready; exec sleep 1000", signal.SIGTERM, 143),
        ("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done", signal.SIGTERM, 5),
        ("trap 'exit 6' INT; echo ready; while :; do sleep 0.01; done", signal.SIGINT, 6),
        ("trap '' INT; echo ready; while :; do sleep 0.01; done", signal.SIGINT, 130),
    ],
)
def test_signals_are_forwarded_and_ctrl_c_ends_everything(script, signo, status):
    process = start(script)
    below = descendants(process.pid)
    assert len(below) >= 3
    process.send_signal(signo)
    process.communicate(timeout=30)
    assert process.returncode == status
    assert all_gone(below)


def test_a_killed_client_leaves_nothing():
    process = start("sleep 1000 & echo ready; exec sleep 1000")
    below = descendants(process.pid)
    process.kill()
    process.communicate()
    assert all_gone(below)


def test_a_killed_supervisor_leaves_nothing_and_is_said():
    process = start("sleep 1000 & echo ready; exec sleep 1000")
    below = descendants(process.pid)
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        supervisor = int(file.read().split()[0])
    os.kill(supervisor, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 125
    assert errors == b"pylitebox: the supervisor ended unexpectedly\n"
    assert all_gone(below)


def test_a_killed_user_of_the_library_leaves_nothing():
    program = (
        "import pylitebox, time\n"
        "box = pylitebox.Sandbox()\n"
        "box.Popen(['sleep', '1000'])\n"
        "print('ready', flush=True)\n"
        "time.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env=ENVIRON, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    below = descendants(process.pid)
    assert len(below) >= 4
    process.kill()
    process.communicate()
    assert all_gone(below)


def test_a_failed_program_that_was_given_a_hidden_path_is_told_of_it(tmp_path):
    (tmp_path / "script.py").write_text("print(1)")
    missed = pylitebox_run("--", "cat", "script.py", cwd=tmp_path)
    assert missed.returncode == 1
    assert missed.stderr.splitlines()[-1] == (
        f"pylitebox: {tmp_path}/script.py exists on the host but not in the sandbox's view; "
        '--workspace . (workspace=".") would add it'
    )
    seen = pylitebox_run("--workspace", ".", "--", "cat", "script.py", "absent", cwd=tmp_path)
    assert (seen.returncode, seen.stdout) == (1, "print(1)")
    assert "pylitebox:" not in seen.stderr
