"""Options: what is understood, and that every mistake is one sentence."""

import gzip
import os
import sys
import tarfile

import pytest

from pylitebox.sandbox import options as module
from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.options import (
    Mount,
    Options,
    own_path,
    parse_assignment,
    parse_size,
    parse_timeout,
    parse_user,
    split_mount,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="about descriptors or paths that Linux has")


@pytest.mark.parametrize(
    ("text", "guest", "mode"),
    [("/a:/b", "/b", "ro"), ("/a:/b/../c/:cow", "/c", "cow"), ("/a:/b:rw", "/b", "rw"), ("/a://b", "/b", "ro")],
)
def test_mounts(text, guest, mode):
    mount = Mount.parse(text)
    assert (mount.host, mount.guest, mount.mode) == (os.path.abspath("/a"), guest, mode)


@pytest.mark.parametrize(
    "text", ["", "/a", "/a:", ":/b", "/a:b", "/a:/b:xx", "/a:/b:ro:ro", "/a:/proc", "/a:/dev/x", "/a:/x\0y"]
)
def test_wrong_mounts(text):
    with pytest.raises(OptionError) as raised:
        Mount.parse(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"C:\dir:/guest:ro", ["C:\\dir", "/guest", "ro"]),
        (r"C:\dir:/guest", ["C:\\dir", "/guest"]),
        ("C:/dir:/guest", ["C:/dir", "/guest"]),
        ("c:/dir:/guest:cow", ["c:/dir", "/guest", "cow"]),
        ("C:/:/guest", ["C:/", "/guest"]),
        (r"\\server\share:/guest", [r"\\server\share", "/guest"]),
        ("c:/guest", ["c", "/guest"]),  # the directory c: a drive is followed by a guest path
        ("c:/guest:ro", ["c", "/guest", "ro"]),
        ("/c:/guest:ro", ["/c", "/guest", "ro"]),
        ("ab:/x:/y", ["ab", "/x", "/y"]),
        ("C:", ["C", ""]),
        ("C", ["C"]),
    ],
)
def test_a_drive_belongs_to_the_host_path(text, parts):
    assert split_mount(text) == parts


@pytest.mark.parametrize(
    ("host", "guest"),
    [("/a/b", "/a/b"), (r"C:\dir\x", "/c/dir/x"), ("d:/x", "/d/x"), (r"\\server\share", "/server/share")],
)
def test_a_workspaces_own_path(host, guest):
    assert own_path(host) == guest


@linux
def test_a_rootfs_is_opened_as_what_it_is(tmp_path):
    plain, packed = tmp_path / "a.tar", tmp_path / "a.tar.gz"
    with tarfile.open(plain, "w") as archive:
        archive.add("/etc/passwd")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path, directory, count in ((tmp_path, True, 1), (plain, False, 1), (packed, False, 2)):
        wire, fds = Options(rootfs=path, rootfs_size="1m").wire()
        try:
            assert wire["rootfs"] == {"directory": directory, "host": str(path), "limit": 1 << 20}
            assert len(fds) == count
            assert os.readlink(f"/proc/self/fd/{fds[0]}") == str(path)
            assert os.lseek(fds[0], 0, os.SEEK_CUR) == 0 if not directory else True
            assert all(not os.get_inheritable(fd) for fd in fds)
        finally:
            for fd in fds:
                os.close(fd)
    wire, _ = Options().wire()
    assert wire["rootfs"] is None


@linux
def test_wrong_rootfs(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, sentence in (
        (tmp_path / "none", "cannot be opened: No such file"),
        (tmp_path / "fifo", "neither a directory nor an archive"),
        ("/dev/null", "neither a directory nor an archive"),
    ):
        with pytest.raises(OptionError, match=sentence):
            Options(rootfs=path).wire()
    with pytest.raises(OptionError, match="two things cannot be mounted at /"):
        Options(rootfs=tmp_path, mounts=[f"{tmp_path}:/"])
    with pytest.raises(OptionError, match="no rootfs"):
        Options(rootfs_size="1g")
    with pytest.raises(OptionError, match="size 'much' is no number"):
        Options(rootfs=tmp_path, rootfs_size="much")


def test_a_relative_host_path_is_the_callers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Mount.parse("x:/x").host == str(tmp_path / "x")


@pytest.mark.parametrize(("suffix", "mode"), [("", "cow"), (":ro", "ro"), (":rw", "rw"), (":cow", "cow")])
def test_a_workspace_is_entered_at_its_own_path(tmp_path, suffix, mode):
    options = Options(workspace=f"{tmp_path}{suffix}")
    place = own_path(str(tmp_path))
    assert [(m.host, m.guest, m.mode) for m in options.mounts] == [(str(tmp_path), place, mode)]
    assert options.cwd == place
    assert Options(workspace=tmp_path, cwd="sub").cwd == f"{place}/sub"


def test_a_missing_host_directory_is_said(tmp_path):
    with pytest.raises(OptionError, match=r"^cannot mount .*nonexistent: \w+"):
        Options(mounts=[Mount(tmp_path / "nonexistent", "/x"), Mount(tmp_path, "/")]).wire()


def test_where_directories_have_no_descriptors_they_go_by_path(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DIRECTORY_DESCRIPTORS", False)
    monkeypatch.setattr(module, "LINUX", False)
    wire, fds = Options(mounts=[Mount(tmp_path, "/", "rw")]).wire()
    assert (wire["paths"], wire["mounts"], fds) == (True, [["/", "rw", str(tmp_path)]], [])
    with pytest.raises(OptionError, match="no Linux programs: name a tree"):
        Options(mounts=[Mount(tmp_path, "/x")]).wire()
    with pytest.raises(OptionError, match="a rootfs has its own"):
        Options(python=True)


@linux
def test_descriptors_are_opened_parents_first(tmp_path):
    (tmp_path / "a").mkdir()
    wire, fds = Options(mounts=[f"{tmp_path}/a:/x/y", f"{tmp_path}:/x"]).wire()
    try:
        assert [row[0] for row in wire["mounts"]] == ["/x", "/x/y"]
        assert [os.readlink(f"/proc/self/fd/{fd}") for fd in fds] == [str(tmp_path), f"{tmp_path}/a"]
    finally:
        for fd in fds:
            os.close(fd)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("4k", 4096), ("64M", 64 << 20), ("2GiB", 2 << 30), ("3mb", 3 << 20), (7, 7)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5g", "1p", "0", "9" * 30, "²", -5])
def test_wrong_sizes(text):
    with pytest.raises(OptionError):
        parse_size(text)


@pytest.mark.parametrize(
    ("user", "ids"), [(None, (0, 0)), ("5", (5, 5)), ("5:6", (5, 6)), (7, (7, 7)), ((8, 9), (8, 9))]
)
def test_users(user, ids):
    assert parse_user(user) == ids


@pytest.mark.parametrize("user", ["", "root", "1:2:3", "-1", "4294967295", ":", " 1", "1_0", "²", (1, 2, 3), 1.5, True])
def test_wrong_users(user):
    with pytest.raises(OptionError):
        parse_user(user)


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", "1e30"])
def test_wrong_timeouts(text):
    with pytest.raises(OptionError):
        parse_timeout(text)


@pytest.mark.parametrize("text", ["A", "=B", ""])
def test_wrong_assignments(text):
    with pytest.raises(OptionError):
        parse_assignment(text)


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"env": {"A": "\0"}},
        {"hostname": ""},
        {"hostname": "a b"},
        {"hostname": "x" * 65},
        {"tmpfs": ["relative"]},
        {"tmpfs": ["/a:big"]},
        {"tmpfs": ["/a:"]},
        {"tmpfs": ["/"]},
        {"tmpfs": ["/proc"]},
        {"tmpfs": {"/dev": None}},
        {"tmpfs": ["/a", "/a/"]},
        {"mounts": ["/a:/b", "/c:/b"]},
        {"mounts": ["/a:/b"], "tmpfs": ["/b"]},
        {"mounts": "/a:/b"},
        {"workspace": ""},
    ],
)
def test_wrong_options(options):
    with pytest.raises(OptionError):
        Options(**options)


def test_nothing_of_the_callers_environment_is_forwarded(monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    assert set(Options().env) == {"PATH", "HOME", "LANG"}


def test_shared_memory_may_have_a_size():
    assert Options(tmpfs=["/dev/shm:1m"]).tmpfs == [("/dev/shm", 1 << 20)]


@linux
def test_a_workspace_in_shared_memory_is_like_any_other():
    assert Options(workspace="/dev/shm").mounts[0].guest == "/dev/shm"


def test_more_mounts_than_a_message_carries(tmp_path):
    options = Options(mounts=[Mount(tmp_path, f"/m/{number}") for number in range(201)])
    with pytest.raises(OptionError, match="201 mounts are too many"):
        options.wire()


def test_what_is_no_mount_is_a_type_error():
    with pytest.raises(TypeError):
        Options(mounts=[5])


@linux
def test_a_shown_python_is_found_first():
    assert Options(python=True).env["PATH"].split(":")[0] == os.path.dirname(sys.executable)
    assert Options(python=True, env={"PATH": "/bin"}).env == {"PATH": "/bin"}
