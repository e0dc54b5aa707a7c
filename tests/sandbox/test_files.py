"""Files of a sandbox from outside: what pathlib does on the host, done in there."""

import errno
import os
import stat

import pytest

import pylitebox

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def box():
    with pylitebox.Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def place(box, request):
    path = box.path("/tmp", request.node.name)
    path.mkdir()
    return path


def test_what_is_written_is_read_inside_and_outside(box, place):
    assert (place / "f").write_text("h\u00e9\n") == 3
    assert (place / "f").read_text() == "h\u00e9\n"
    assert box.run(["cat", place / "f"], capture_output=True).stdout == "h\u00e9\n".encode()
    box.run(["sh", "-c", f"printf more >> {place}/f"])
    assert (place / "f").read_bytes() == "h\u00e9\nmore".encode()


def test_large_files_cross_in_pieces(place):
    data = os.urandom(3_000_001)
    (place / "big").write_bytes(data)
    assert (place / "big").read_bytes() == data
    with pytest.raises(OSError) as raised:
        (place / "big").read_bytes(limit=1000)
    assert raised.value.errno == errno.EFBIG


def test_names_and_facts(place):
    (place / "a").mkdir()
    (place / "b").write_bytes(b"12345")
    (place / "c").symlink_to("b")
    assert [p.name for p in place.iterdir()] == ["a", "b", "c"]
    assert (place / "b").stat().st_size == (place / "c").stat().st_size == 5
    assert stat.S_ISLNK((place / "c").lstat().st_mode)
    assert str((place / "c").readlink()) == "b"
    assert (place / "a").is_dir()
    assert (place / "c").is_file()
    assert (place / "c").is_symlink()
    assert not (place / "d").exists()
    (place / "b").chmod(0o600)
    assert (place / "b").stat().st_mode & 0o7777 == 0o600
    (place / "b").rename("e")
    (place / "e").unlink()
    (place / "e").unlink(missing_ok=True)
    (place / "a").rmdir()
    assert [p.name for p in place.iterdir()] == ["c"]


def test_many_names(box, place):
    box.run(["sh", "-c", f"cd {place} && seq 3000 | xargs touch"], check=True)
    assert len(list(place.iterdir())) == 3000


@pytest.mark.parametrize(
    ("error", "do"),
    [
        (FileNotFoundError, lambda p: (p / "no").read_bytes()),
        (IsADirectoryError, lambda p: p.read_bytes()),
        (FileExistsError, lambda p: p.mkdir()),
        (FileNotFoundError, lambda p: (p / "x/y").mkdir()),
        (FileNotFoundError, lambda p: (p / "no").unlink()),
        (NotADirectoryError, lambda p: list((p.parent.parent / "etc/passwd").iterdir())),
        (OSError, lambda p: (p.parent.parent / "dev/zero").read_bytes()),
    ],
)
def test_errors_are_those_of_pathlib(place, error, do):
    with pytest.raises(error):
        do(place)


def test_trees_go_in_and_out(box, place, tmp_path):
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    (source / "sub/run").write_text("#!/bin/sh\necho ran\n")
    (source / "sub/run").chmod(0o755)
    (source / "link").symlink_to("sub/run")
    os.mkfifo(source / "pipe")
    (place / "tree").copy_from(source)
    assert box.run([place / "tree/link"], capture_output=True).stdout == b"ran\n"
    box.run(
        ["sh", "-c", f"cd {place}/tree && ln -s /etc/passwd out && ln -s ../../x up && mkfifo p && chmod 4755 sub/run"]
    )
    (place / "tree").copy_to(tmp_path / "out")
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*"))
    assert found == ["link", "sub", "sub/run"]
    assert (tmp_path / "out/sub/run").stat().st_mode & 0o7777 == 0o755
    with pytest.raises(FileExistsError):
        (place / "tree").copy_to(tmp_path / "out")
    with pytest.raises(OSError, match="File too large"):
        (place / "tree").copy_to(tmp_path / "out2", limit=3)


def test_a_link_on_the_host_is_not_written_through(place, tmp_path):
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "target").symlink_to("victim")
    (place / "f").write_text("new")
    with pytest.raises(OSError):
        (place / "f").copy_to(tmp_path / "target")
    assert (tmp_path / "victim").read_text() == "untouched"


def test_a_workspace_is_copy_on_write_unless_it_is_rw(tmp_path):
    (tmp_path / "f").write_text("old")
    tmp_path.chmod(0o755)
    for mode, after in (("cow", "old"), ("rw", "new")):
        with pylitebox.Sandbox(workspace=f"{tmp_path}:{mode}") as sandbox:
            sandbox.run(["sh", "-c", "printf new > f"], check=True)
            assert sandbox.path("f").read_text() == "new"
        assert (tmp_path / "f").read_text() == after
    with pylitebox.Sandbox(workspace=f"{tmp_path}:ro") as sandbox:
        assert sandbox.run(["sh", "-c", "printf x > f"], capture_output=True).returncode != 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_of_the_client_cannot_use_its_sandbox(box):
    pid = os.fork()
    if pid == 0:
        try:
            box.run(["true"])
        except pylitebox.SandboxError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert box.run(["true"]).returncode == 0
