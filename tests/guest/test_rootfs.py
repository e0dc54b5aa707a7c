"""Programs of a root of their own: a directory, a tar archive, a compressed one; compared with tar(1) on the host."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import pytest

import pylitebox
from tests.guest.harness import ENVIRON, Runner, need
from tests.guest.variants import NOBODY, ROOT

BUSYBOX = "/bin/busybox"
#: From Python 3.11.4 on; later ones ask for it.
TRUSTED: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
LOOK = """
cd "$1"
busybox find . -type d -exec busybox stat -c '%n %F %a %u %g %Y' {} + | busybox sort
busybox find . ! -type d -exec busybox stat -c '%n %F %a %u %g %s %Y %h %t %T' {} + | busybox sort
busybox find . -type l -exec busybox readlink {} ';' | busybox sort
busybox find . -type f -exec busybox md5sum {} + | busybox sort
"""


def static_busybox() -> str:
    need("busybox")
    path = shutil.which("busybox")
    assert path is not None
    if subprocess.run(["ldd", path], capture_output=True, check=False).returncode == 0:
        pytest.skip("busybox is not static: apt-get install busybox-static")
    return path


def zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd as package

        return package.compress(data)
    return pytest.importorskip("zstandard").ZstdCompressor().compress(data)


@pytest.fixture(scope="module")
def place(public_directory: Path) -> Path:
    path = public_directory / "rootfs"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="module")
def busybox_tar(place: Path) -> Path:
    """A root with nothing but busybox: no /tmp, /dev, /proc, /etc."""
    path = place / "busybox.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(static_busybox(), "bin/busybox")
        for name in ("sh", "cat", "ls"):
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(info)
    path.chmod(0o644)
    return path


def knows(interpreter: str, package: str) -> bool:
    return subprocess.run([interpreter, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["tar", "tar.gz", "tar.xz", "tar.zst", "directory"])
def root(request: pytest.FixtureRequest, busybox_tar: Path, place: Path) -> Path:
    if request.param == "directory":
        path = place / "directory"
        with tarfile.open(busybox_tar) as archive:
            archive.extractall(path, **TRUSTED)
        path.chmod(0o755)
        return path
    if request.param == "tar.zst" and "runner" in request.fixturenames:
        interpreter = request.getfixturevalue("runner").interpreter
        if not knows(interpreter, "zstandard") and not knows(interpreter, "compression.zstd"):
            pytest.skip(f"{interpreter}, which every user can run, has no zstandard")
    packed = {"tar": bytes, "tar.gz": gzip.compress, "tar.xz": lzma.compress, "tar.zst": zstd}[request.param]
    path = place / f"busybox-packed.{request.param}"
    path.write_bytes(packed(busybox_tar.read_bytes()))
    path.chmod(0o644)
    return path


def sh(runner: Runner, root: Path, script: str, *options: str, arguments: tuple[str, ...] = ()) -> str:
    """What a script of the root's own shell prints."""
    outcome = runner.run(["/bin/sh", "-ec", script, "sh", *arguments], f"--rootfs={root}", *options)
    assert (outcome.status, outcome.stderr) == (0, ""), outcome
    return outcome.stdout


@pytest.mark.parametrize("prefix", ["as it is", "unprivileged"])
def test_a_root_of_busybox(runner: Runner, root: Path, prefix: str) -> None:
    if prefix == "unprivileged":
        if not ROOT:
            pytest.skip("the tests run unprivileged already")
        need("setpriv")
        runner.prefix = NOBODY
    script = """
        ls / ; ls -d /tmp/. /proc/self/. /dev/null
        echo one > /tmp/a; cat /tmp/a; echo two > /bin/new; cat /bin/new
        busybox rm /bin/cat; ls /bin
        echo "$(busybox stat -c '%a %u %g' /bin/busybox) $(busybox stat -c %a /tmp)"
        busybox seq 5 | busybox tac | busybox tr '\\n' ' '
        exec 3<> /bin/busybox; busybox id -u
    """
    expected = "bin\ndev\nproc\nsys\ntmp\n/dev/null\n/proc/self/.\n/tmp/.\none\ntwo\nbusybox\nls\nnew\nsh\n"
    mode = (root / "bin/busybox").stat().st_mode if root.is_dir() else 0o755
    assert sh(runner, root, script) == f"{expected}{mode & 0o777:o} 0 0 1777\n5 4 3 2 1 0\n"
    assert "new" not in sh(runner, root, "ls /bin"), "nothing is kept"


def test_no_file_of_the_host_is_there(runner: Runner, root: Path) -> None:
    script = "for p in /usr /etc /lib /var /home /root /srv /opt; do [ ! -e $p ] || echo $p; done; ls /"
    assert sh(runner, root, script) == "bin\ndev\nproc\nsys\ntmp\n"


def test_with_other_options(runner: Runner, root: Path, place: Path) -> None:
    work = place / "work"
    work.mkdir(exist_ok=True)
    work.chmod(0o755)
    (work / "file").write_text("of the host\n")
    script = "cat /m/deep/file file; echo x > file; cat file; busybox df /t | busybox tail -n 1; busybox id -u; pwd"
    options = (f"--mount={work}:/m/deep:ro", f"--workspace={work}", "--tmpfs=/t:1m", "--user=7:8", f"--cwd={work}")
    lines = sh(runner, root, script, *options).splitlines()
    assert lines[:3] == ["of the host", "of the host", "x"]
    assert lines[3].split()[1] == "1024"
    assert lines[4:] == ["7", str(work)]
    assert (work / "file").read_text() == "of the host\n"


def test_an_archive_that_only_the_caller_may_read(runner: Runner, busybox_tar: Path, place: Path) -> None:
    private = place / "private.tar.gz"
    private.write_bytes(gzip.compress(busybox_tar.read_bytes()))
    private.chmod(0o600)
    assert sh(runner, private, "echo works") == "works\n"


def test_watching_a_root(runner: Runner, busybox_tar: Path, place: Path) -> None:
    packed = place / "watched.tar.gz"
    packed.write_bytes(gzip.compress(busybox_tar.read_bytes()))
    outcome = runner.run(["/bin/busybox", "true"], f"--rootfs={packed}", "--strace", "--summary")
    assert outcome.status == 0
    trace, _, summary = outcome.stderr.partition("exit_group(0")
    assert "getuid()" in trace
    assert summary.rstrip().endswith("total")


def _set_id(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mode, info.uid = 0o4755, 0
    return info


def test_permissions_inside_are_the_archives(runner: Runner, busybox_tar: Path, place: Path) -> None:
    path = place / "permissions.tar"
    shutil.copy(busybox_tar, path)
    with tarfile.open(path, "a") as archive:
        for name, mode, uid in (("secret", 0o600, 0), ("mine", 0o600, 1000), ("suid", 0o4755, 0)):
            info = tarfile.TarInfo(name)
            info.mode, info.uid = mode, uid
            archive.addfile(info)
        archive.add(static_busybox(), "bin/id", filter=_set_id)
    script = "cat /secret 2>/dev/null || echo no; cat /mine; echo >> /mine; id -u; busybox stat -c %a /suid"
    assert sh(runner, path, script, "--user=1000") == "no\n1000\n4755\n"
    assert sh(runner, path, "cat /secret /mine; echo all") == "all\n"


def libraries(program: str) -> set[str]:
    """The program with what ldd(1) says it needs."""
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split()
    return {program, *(word for word in lines if word.startswith("/"))}


def system_tar(path: Path, programs: list[str], trees: list[str] | None = None, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name in sorted(set().union(*map(libraries, programs))):
            archive.add(os.path.realpath(name), name.lstrip("/"))
        for tree in trees or []:
            archive.add(tree, tree.lstrip("/"), filter=_without_tests)
    path.chmod(0o644)
    return path


def _without_tests(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = info.name.split("/")
    return None if {"test", "tests", "dist-packages", "__pycache__"} & set(parts) or "config-" in info.name else info


def test_bash_with_its_libraries(runner: Runner, place: Path) -> None:
    need("bash")
    tools = [str(shutil.which(name)) for name in ("bash", "cat", "sort", "wc", "env")]
    locale = [path for path in ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8") if os.path.isdir(path)]
    path = system_tar(place / "bash.tar.gz", tools, locale, mode="w:gz")
    script = textwrap.dedent("""
        printf '%s\\n' c a b | sort | cat -n
        trap 'echo trapped' USR1; kill -USR1 $$
        x=$(for i in {1..20}; do echo $i; done | wc -l); echo $((x * 2)) > /tmp/n; cat < <(cat /tmp/n)
        (exit 3) & wait $!; echo $?
    """)
    expected = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRON, check=True).stdout
    outcome = runner.run([tools[0], "-c", script], f"--rootfs={path}")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, expected, "")
    assert "libc.so.6" in runner.run([tools[1], "/proc/self/maps"], f"--rootfs={path}").stdout


def test_python_from_an_archive(runner: Runner, place: Path) -> None:
    need("/usr/bin/python3")
    real = os.path.realpath("/usr/bin/python3")
    path = system_tar(place / "python.tar", [real], [f"/usr/lib/{Path(real).name}"])
    program = """
        import json, subprocess, sys, threading, zipimport, decimal
        print(json.dumps({"a": [1, 2]}), decimal.Decimal("1.10"), sys.prefix)
        thread = threading.Thread(target=lambda: print(subprocess.run([sys.executable, "-c", "print(6*7)"],
            capture_output=True, text=True).stdout))
        thread.start(); thread.join()
    """
    outcome = runner.run([real, "-c", textwrap.dedent(program)], f"--rootfs={path}")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, '{"a": [1, 2]} 1.10 /usr\n42\n\n', "")


# -- the same as tar(1) -----------------------------------------------------------------------------------------


def odd_tree(top: Path) -> None:
    """Everything that a tree may hold."""
    (top / "d/deep").mkdir(parents=True)
    (top / "d/file").write_bytes(os.urandom(70_001))
    os.link(top / "d/file", top / "hard")
    (top / "empty").touch()
    (top / "link").symlink_to("d/file")
    (top / "absolute").symlink_to("/no/such")
    os.mkfifo(top / "fifo")
    (top / ("n" * 200)).write_text("long")
    deep = top.joinpath(*["p" * 90] * 4)
    deep.mkdir(parents=True)
    (deep / "leaf").write_text("leaf")
    Path(os.fsdecode(os.fsencode(top) + b"/caf\xe9 \xff")).write_text("odd")
    (top / "set").write_text("id")
    (top / "set").chmod(0o6755)
    (top / "sticky").mkdir(mode=0o1777)
    (top / "sticky").chmod(0o1777)
    (top / "closed").write_text("x")
    (top / "closed").chmod(0o000)
    with (top / "sparse").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
        file.truncate(4 << 20)
    if ROOT:
        os.chown(top / "d/deep", 1000, 100)
        os.lchown(top / "link", 1000, 1001)
        try:
            os.mknod(top / "null", 0o020666, os.makedev(1, 3))
        except PermissionError:  # in a container without the capability
            pass
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, (1_000_000_000, 1_234_567_890), follow_symlinks=False)


@pytest.mark.parametrize("options", ["--format=gnu", "--format=gnu -S", "--format=posix", "--format=posix -S"])
def test_the_same_tree_as_tar_makes(
    runner: Runner, busybox_tar: Path, tmp_path: Path, place: Path, options: str
) -> None:
    need("tar")
    odd_tree(tmp_path / "tree")
    path = place / "odd.tar"
    subprocess.run(["tar", "-cf", path, *options.split(), "-C", tmp_path, "tree"], check=True)
    with tarfile.open(busybox_tar) as archive:
        archive.extractall(tmp_path / "more", **TRUSTED)
    subprocess.run(["tar", "-rf", path, options.partition(" ")[0], "-C", tmp_path / "more", "bin"], check=True)
    path.chmod(0o644)
    (tmp_path / "extracted").mkdir()
    subprocess.run(["tar", "-xpf", path, "-C", tmp_path / "extracted", "tree"], check=True)
    extracted = str(tmp_path / "extracted/tree")
    if not ROOT:  # who extracts owns, and set-id bits may go
        pytest.skip("owners can be compared by root alone")
    look = ["busybox", "sh", "-c", LOOK, "sh", extracted]
    expected = subprocess.run(look, capture_output=True, check=True, env=ENVIRON).stdout
    got = sh(runner, path, LOOK, arguments=("/tree",))
    assert got.splitlines() == expected.decode("utf-8", "backslashreplace").splitlines()
    assert got.count("\n") > 30


# -- what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("cut.tar", lambda data: data[:100_000], "is cut off within 'bin/busybox'"),
        ("cut.tar.gz", lambda data: gzip.compress(data)[:50_000], "is cut off: its gzip data does not end"),
        ("cut.tar.xz", lambda data: lzma.compress(data)[:50_000], "is cut off: its xz data does not end"),
        ("no.tar", lambda data: b"no archive\n" * 100, "is no tar archive, plain or compressed with gzip, xz or zstd"),
        ("empty.tar", lambda data: b"", "holds no file"),
        ("bomb.tar.gz", lambda data: gzip.compress(bytes(4 << 20)), "unpacks to more than 3145728 bytes: --rootfs"),
    ],
)
def test_an_archive_that_is_no_good(runner: Runner, busybox_tar: Path, place: Path, name, make, sentence) -> None:
    path = place / name
    path.write_bytes(make(busybox_tar.read_bytes()))
    path.chmod(0o644)
    outcome = runner.run(["true"], f"--rootfs={path}", "--rootfs-size=3m")
    assert (outcome.status, outcome.stdout) == (125, "")
    assert outcome.stderr.startswith(f"pylitebox: rootfs {path} {sentence}")
    assert outcome.stderr.count("\n") == 1


def test_a_root_whose_mount_points_are_no_directories(runner: Runner, busybox_tar: Path, place: Path) -> None:
    for name, kind, target in (("proc", tarfile.REGTYPE, ""), ("dev", tarfile.SYMTYPE, "dev")):
        path = place / f"{name}.tar"
        shutil.copy(busybox_tar, path)
        with tarfile.open(path, "a") as archive:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        outcome = runner.run(["/bin/sh"], f"--rootfs={path}")
        assert outcome.status == 125
        assert outcome.stderr.startswith(f"pylitebox: nothing can be mounted at /{name}: ")
        assert outcome.stderr.count("\n") == 1


def test_strange_files_of_etc_do_no_harm(runner: Runner, busybox_tar: Path, place: Path) -> None:
    path = place / "etc.tar"
    shutil.copy(busybox_tar, path)
    with tarfile.open(path, "a") as archive:
        for name, kind, target in (("hostname", tarfile.FIFOTYPE, ""), ("hosts", tarfile.SYMTYPE, "/dev/full")):
            info = tarfile.TarInfo(f"etc/{name}")
            info.type, info.linkname = kind, target
            archive.addfile(info)
        info = tarfile.TarInfo("tmp")
        info.type, info.linkname = tarfile.SYMTYPE, "nowhere"
        archive.addfile(info)
    assert sh(runner, path, "ls /etc", "--cwd=/") == "hostname\nhosts\n"


def test_from_python(root: Path) -> None:
    with pylitebox.Sandbox(rootfs=root) as box:
        done = box.run(["/bin/sh", "-c", "echo $0 > /new; ls /"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "bin\ndev\nnew\nproc\nsys\ntmp\n", "")
        assert box.path("/new").read_text() == "/bin/sh\n"
        assert not box.path("/usr").exists()
        with pytest.raises(FileNotFoundError) as raised:
            box.run(["/usr/bin/env"])
        assert not getattr(raised.value, "__notes__", [])
    bad = root.parent / "bad.tar"
    bad.write_bytes(b"bad" * 1000)
    with pytest.raises(pylitebox.SandboxError, match="is no tar archive"):
        pylitebox.run(["true"], rootfs=bad)
