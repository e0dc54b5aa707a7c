"""Which directories an interpreter needs, for the layouts of venv, uv and pyenv (made of links, no download)."""

import sys

import pytest

from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.interpreter import _directories, add_interpreter, links
from pylitebox.sandbox.options import Mount


def make(path, target=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if target is None:
        path.write_text("")
    else:
        path.symlink_to(target)
    return path


def test_a_venv_shows_itself_and_what_it_was_made_from(tmp_path):
    base = tmp_path / "base"
    real = make(base / "bin/python3.11")
    venv = tmp_path / "venv"
    make(venv / "bin/python", real)
    wanted = _directories(str(venv / "bin/python"), [str(venv), str(venv), str(base), str(base)], [])
    assert sorted(wanted) == [str(base), str(venv)]


def test_a_chain_of_versioned_aliases_is_shown_whole(tmp_path):
    """uv: .venv/bin/python -> .../cpython-3.11-linux/bin/python3.11, and cpython-3.11-linux -> cpython-3.11.7-linux."""
    store = tmp_path / "uv/python"
    make(store / "cpython-3.11.7-linux/bin/python3.11")
    (store / "cpython-3.11-linux").symlink_to("cpython-3.11.7-linux")
    venv = tmp_path / "project/.venv"
    executable = make(venv / "bin/python", store / "cpython-3.11-linux/bin/python3.11")
    prefix = str(store / "cpython-3.11-linux")
    wanted = _directories(str(executable), [str(venv), str(venv), prefix, prefix], [])
    assert set(wanted) == {str(venv), prefix, str(store / "cpython-3.11.7-linux")}


def test_links_in_a_circle_end(tmp_path):
    make(tmp_path / "a", tmp_path / "b")
    make(tmp_path / "b", tmp_path / "a")
    assert len(links(str(tmp_path / "a"))) == 2


def test_whole_homes_and_roots_are_never_shown(tmp_path):
    assert _directories("/bin/sh", ["/", "/usr", "/home", "/root"], []) == []


def test_what_a_mount_shows_already_is_not_mounted_again(tmp_path, monkeypatch):
    prefix = tmp_path / "w/.venv"
    make(prefix / "bin/python")
    for name in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, str(prefix))
    monkeypatch.setattr(sys, "executable", str(prefix / "bin/python"))
    monkeypatch.setattr(sys, "path", [])
    mounts = [Mount.workspace(tmp_path / "w")]
    add_interpreter(mounts, None)
    assert len(mounts) == 1
    elsewhere = [Mount(tmp_path / "w", "/work")]
    add_interpreter(elsewhere, None)
    assert [m.guest for m in elsewhere] == ["/work", str(prefix)]


@pytest.mark.parametrize("name", ["/nonexistent/python", "true"])
def test_a_named_interpreter_that_is_none(name):
    with pytest.raises(OptionError):
        add_interpreter([], name)


def test_with_a_rootfs_the_hosts_own_python_cannot_be_shown(tmp_path, monkeypatch):
    prefix = tmp_path / "python"
    make(prefix / "bin/python")
    for name in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, str(prefix))
    monkeypatch.setattr(sys, "executable", str(prefix / "bin/python"))
    monkeypatch.setattr(sys, "path", [])
    mounts: list[Mount] = []
    add_interpreter(mounts, None, rootfs=True)
    assert [mount.guest for mount in mounts] == [str(prefix)], "one that brings all along can"
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    add_interpreter([], None)
    with pytest.raises(OptionError, match=r"a part of the host's system \(/usr\), whose place the rootfs takes"):
        add_interpreter([], None, rootfs=True)
