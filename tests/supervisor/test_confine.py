"""Confinement, each time in a process of its own: as the user of the tests, and unprivileged if that is root."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

from pylitebox.abi.landlock import ACCESS_FILE, handled_fs, handled_net, scoped
from pylitebox.supervisor.confine import landlock_abi, landlock_attributes

PRELUDE = """
import os, socket, sys, threading, signal, ctypes, mmap, tempfile
from pylitebox.supervisor import confine
from pylitebox.supervisor.confine import *

def fails(call, *args):
    try:
        call(*args)
    except OSError as error:
        return error.errno
    return 0

def paths(**rules):
    return [(os.open(path, os.O_PATH | os.O_CLOEXEC), rights) for path, rights in rules.items()]
"""

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]


def start(code: str, prefix: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that finds the same modules."""
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [*prefix, sys.executable, "-c", code],
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def python(code: str, prefix: Sequence[str] = ()) -> str:
    """What a fresh interpreter prints for the prelude and ``code``."""
    done = start(PRELUDE + code, prefix)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(params=["as it is", "unprivileged"])
def user(request: pytest.FixtureRequest) -> Sequence[str]:
    if request.param == "as it is":
        return ()
    if os.geteuid() != 0:
        pytest.skip("the tests run unprivileged already")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: install util-linux")
    if start("import pylitebox", AS_NOBODY).returncode:
        pytest.skip("an unprivileged user cannot read this interpreter or the package")
    return AS_NOBODY


needs_landlock = pytest.mark.skipif(not landlock_abi(), reason="this kernel has no Landlock")


def test_no_privilege_is_left(user: Sequence[str]) -> None:
    out = python(
        """
rules = paths(**{"/proc": PROC}) if landlock_abi() else []
walls = {w.name: w.stands for w in enclose(rules)}
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
assert os.getuid() != 0 and os.geteuid() != 0 and os.getegid() != 0, os.getresuid()
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    assert int(status[name], 16) == 0, (name, status[name])
assert status["NoNewPrivs"] == "1"
assert fails(os.setuid, 0) and fails(os.chroot, "/")
print(walls["no-new-privs"], walls["no-capabilities"], walls["not-dumpable"])
""",
        user,
    )
    assert out == "True True True"


@needs_landlock
def test_only_the_listed_files_are_reached(user: Sequence[str]) -> None:
    out = python(
        """
enclose(paths(**{"/usr": READ_TREE, "/proc": PROC}))
assert os.listdir("/usr")
assert fails(os.open, "/etc/passwd", os.O_RDONLY) == 13
assert fails(os.open, "/usr/../etc/passwd", os.O_RDONLY) == 13
assert fails(os.open, "/proc/self/root/etc/passwd", os.O_RDONLY) == 13
assert fails(os.open, "/tmp/x", os.O_WRONLY | os.O_CREAT) == 13
assert fails(os.execv, "/usr/bin/true", ["true"]) == 13
print("ok")
""",
        user,
    )
    assert out == "ok"


@needs_landlock
def test_without_guests_on_the_host_no_process_of_it_is_looked_at(user: Sequence[str]) -> None:
    out = python(
        """
enclose(paths(**{"/usr": READ_TREE, "/proc": PROC_NAMES}))
assert set(open_descriptors()) >= {0, 1, 2}
for path in ("/proc/1/cmdline", "/proc/self/maps", "/proc/net/unix", "/proc/sys/kernel/core_pattern"):
    assert fails(os.open, path, os.O_RDONLY) == 13, path
for path in ("/proc/self/mem", "/proc/self/oom_score_adj"):
    assert fails(os.open, path, os.O_WRONLY) == 13, path
print("ok")
""",
        user,
    )
    assert out == "ok"


@needs_landlock
def test_a_file_rule_and_a_writable_tree(user: Sequence[str]) -> None:
    out = python(
        """
where = tempfile.mkdtemp()
os.chmod(where, 0o777)
enclose(paths(**{where: WRITE_TREE, "/etc/hostname": WRITE_TREE, "/proc": PROC}))
fd = os.open(where + "/a", os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, b"x")
os.rename(where + "/a", where + "/b")
os.mkdir(where + "/d")
assert fails(os.mkfifo, where + "/f") == 13
os.unlink(where + "/b"); os.rmdir(where + "/d")
assert os.read(os.open("/etc/hostname", os.O_RDONLY), 1)
print("ok")
""",
        user,
    )
    assert out == "ok"


@needs_landlock
@pytest.mark.parametrize("abi", range(1, 8))
def test_older_landlock_walls_stand(abi: int) -> None:
    if abi > landlock_abi():
        pytest.skip(f"this kernel has Landlock ABI {landlock_abi()}")
    out = python(
        f"""
confine.landlock_abi = lambda: {abi}
enclose(paths(**{{"/usr": READ_TREE, "/proc": PROC}}))
print(fails(os.open, "/etc/passwd", os.O_RDONLY), fails(os.listdir, "/usr"))
"""
    )
    assert out == "13 0"


def test_threads_make_it_an_error() -> None:
    out = python(
        """
go = threading.Event()
thread = threading.Thread(target=go.wait, daemon=True)
thread.start()
try:
    enclose([])
except ConfinementError as error:
    print("thread" in str(error))
go.set()
"""
    )
    assert out == "True"


def test_a_required_wall_that_is_missing_is_an_error() -> None:
    out = python(
        """
confine.landlock_abi = lambda: 0
try:
    enclose([], required=["landlock"])
except ConfinementError as error:
    print("landlock" in str(error))
"""
    )
    assert out == "True"


def test_the_filter_binds_every_thread_and_python_degrades(user: Sequence[str]) -> None:
    out = python(
        """
asked, answered, answers = threading.Event(), threading.Event(), []
def work():
    asked.wait()
    answers.append(fails(socket.socket))
    answered.set()
worker = threading.Thread(target=work, daemon=True)
worker.start()
walls = seal({0, 1, 2})
asked.set(); answered.wait()
assert answers == [1], answers
for call, args in (
    (os.fork, ()), (socket.socket, ()), (os.pipe, ()), (os.mkdir, ("/tmp/pylitebox-never",)),
    (os.open, ("/tmp/pylitebox-never", os.O_WRONLY | os.O_CREAT)), (os.kill, (1, 0)), (os.setuid, (0,)),
    (os.chdir, ("/",)), (os.unlink, ("/tmp/pylitebox-never",)), (os.symlink, ("a", "/tmp/pylitebox-never")),
):
    assert fails(call, *args) == 1, call
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    raise AssertionError("a thread started")

assert fails(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)) == 1
assert sum(bytearray(50_000_000)) == 0
print(all(w.stands for w in walls))
sys.stdout.flush()
os._exit(0)
""",
        user,
    )
    assert out == "True"


@pytest.mark.parametrize(
    "call", ["os.execv('/bin/true', ['true'])", "os.unshare(0)", "ctypes.CDLL(None).ptrace(0, 0, 0, 0)"]
)
def test_what_only_an_intruder_would_do_kills(call: str) -> None:
    if "unshare" in call and not hasattr(os, "unshare"):
        call = "ctypes.CDLL(None).unshare(0)"
    out = python(
        f"""
import subprocess
pid = os.fork()
if not pid:
    seal({{0, 1, 2}})
    {call}
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""
    )
    assert out.splitlines()[-1] in {"31", "159"}  # SIGSYS, perhaps with a core dump


def test_stray_descriptors_are_closed() -> None:
    out = python(
        """
secret = os.open("/etc/hostname", os.O_RDONLY)
kept = os.open("/dev/null", os.O_RDONLY)
walls = seal({0, 1, 2, kept})
assert fails(os.fstat, secret) == 9 and not fails(os.fstat, kept)
print(walls[0].detail)
sys.stdout.flush()
os._exit(0)
"""
    )
    assert "closed 1 stray" in out


@pytest.mark.parametrize("abi", range(1, 8))
def test_landlock_attributes_grow_with_the_abi(abi: int) -> None:
    fs, net, scope = landlock_attributes(abi)
    assert (fs, net, scope) == (handled_fs(abi), handled_net(abi), scoped(abi))
    assert fs & handled_fs(max(1, abi - 1)) == handled_fs(max(1, abi - 1))
    assert bool(net) == (abi >= 4)
    assert bool(scope) == (abi >= 6)
    assert fs.bit_length() == {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
    assert ACCESS_FILE & ~handled_fs(7) == 0


def test_without_landlock_nothing_is_handled() -> None:
    assert landlock_attributes(0) == (0, 0, 0)
