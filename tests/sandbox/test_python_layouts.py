"""``python=True`` with real interpreters: virtual environments, uv, pyenv; as root and as nobody; other Pythons."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

import pylitebox

pytestmark = pytest.mark.guest

SOURCE = os.path.dirname(os.path.dirname(pylitebox.__file__))
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
SUPPORTED = ("3.11.", "3.12.", "3.13.")


def host(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120, **options).stdout


def packages_of(python):
    return Path(host(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def furnish(venv, project):
    """A package, a console script of the environment and two projects that are used from their source."""
    python = venv / "bin/python"
    packages = packages_of(python)
    (packages / "third").mkdir()
    (packages / "third/__init__.py").write_text("value = 7\n")
    command = venv / "bin/command"
    command.write_text(f"#!{python}\nimport sys, third\nprint('command', third.value, sys.argv[1:])\n")
    command.chmod(0o755)
    for name in ("plain", "hooked"):
        (project / name).mkdir(parents=True)
        (project / name / f"{name}_module.py").write_text(f"name = {name!r}\n")
    (packages / "plain.pth").write_text(f"# a comment\n{project}/plain\n")
    (packages / "hooked.pth").write_text(f"import sys; sys.path.append('{project}/hooked')\n")
    info = packages / "hooked-1.dist-info"
    info.mkdir()
    origin = {"url": f"file://{project}/hooked", "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))


CALLER = """
import subprocess, sys
import pylitebox

def run(*argv, **options):
    done = pylitebox.run(argv, python=True, workspace=".", capture_output=True, text=True, timeout=60, **options)
    print(done.stdout + done.stderr, end="")

run(sys.executable, "script.py", "a b")
run("command", "x")
run(sys.prefix + "/bin/command", "y")
run("python", "-c", "import sys; print(sys.executable)")
"""
SCRIPT = """
import sys, third, plain_module, hooked_module, zlib, ctypes
print(third.value, plain_module.name, hooked_module.name, sys.prefix, sys.base_prefix, sys.argv)
"""


def check_layout(venv, work, *, before=()):
    """The environment's own Python, as the caller, runs itself in the sandbox."""
    furnish(venv, work / "elsewhere")
    workspace = work / "workspace"
    workspace.mkdir()
    (workspace / "script.py").write_text(SCRIPT)
    python = str(venv / "bin/python")
    base = host(python, "-c", "import sys; print(sys.base_prefix)").strip()
    environ = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*before, python, "-W", "error", "-c", CALLER], cwd=workspace, env=environ, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"7 plain hooked {venv} {base} ['script.py', 'a b']",
        "command 7 ['x']",
        "command 7 ['y']",
        python,
    ]


def versions(supported):
    found = sorted(path for path in PYENV.glob("3.*") if path.name.startswith(SUPPORTED) or not supported)
    return found or [pytest.param(None, marks=pytest.mark.skip("needs pyenv with a Python installed"))]


@pytest.fixture
def work(tmp_path):
    """A directory like a user's, beneath one that is closed to others (pytest's)."""
    tmp_path.chmod(0o755)
    return tmp_path


def test_a_virtual_environment(work):
    host(sys.executable, "-m", "venv", "--without-pip", work / "venv")
    check_layout(work / "venv", work)


def test_a_virtual_environment_that_is_closed_to_others(work):
    host(sys.executable, "-m", "venv", "--without-pip", work / "venv")
    (work / "venv").chmod(0o700)
    check_layout(work / "venv", work)


def test_a_virtual_environment_through_a_chain_of_links(work):
    """As pyenv and uv lay them out: aliases of versions, and bin/python through them."""
    store = work / "store"
    store.mkdir()
    (store / "real").symlink_to(sys.base_prefix)
    (store / "3").symlink_to("real")
    name = os.path.basename(os.path.realpath(sys.executable))
    (work / "bin").mkdir()
    (work / "bin/python").symlink_to(store / "3/bin" / name)
    host(store / "3/bin" / name, "-m", "venv", "--without-pip", work / "venv")
    (work / "venv/bin/python").unlink()
    (work / "venv/bin/python").symlink_to(work / "bin/python")
    check_layout(work / "venv", work)


@pytest.mark.parametrize("version", versions(supported=True), ids=lambda path: getattr(path, "name", None))
def test_an_environment_of_another_python_that_runs_us_too(version, work):
    host(version / "bin/python", "-m", "venv", "--without-pip", work / "venv")
    check_layout(work / "venv", work)


@pytest.mark.parametrize("version", versions(supported=False), ids=lambda path: getattr(path, "name", None))
def test_a_named_python_of_pyenv(version, work):
    program = "import sys, zlib, json; print(json.dumps(list(sys.version_info[:3])))"
    done = pylitebox.run(["python", "-c", program], python=version / "bin/python", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"[{version.name.replace('.', ', ')}]\n", "")


@pytest.fixture(scope="module")
def uv(tmp_path_factory):
    """The uv program, installed for these tests if there is none."""
    found = shutil.which("uv")
    if found is not None:
        return found
    place = tmp_path_factory.mktemp("uv")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, "uv"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("needs uv (python3 -m pip install uv)")
    return str(place / "bin/uv")


def test_an_environment_of_uv(uv, work):
    environ = {**os.environ, "UV_CACHE_DIR": str(work / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    base = os.path.join(sys.base_prefix, "bin", os.path.basename(os.path.realpath(sys.executable)))
    host(uv, "venv", "--offline", "--quiet", "--no-project", "--python", base, work / ".venv", env=environ)
    check_layout(work / ".venv", work)


def test_an_environment_of_a_python_that_uv_manages(uv, work):
    """uv keeps Pythons as cpython-3.11.7-..., and links to them as cpython-3.11-..., of which environments are made."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    store = work / "python"
    full, alias = (f"cpython-{version}-linux-x86_64-gnu" for version in (sysconfig.get_python_version() + ".99", "3"))
    (store / full).parent.mkdir()
    (store / full).symlink_to(sys.base_prefix)
    (store / alias).symlink_to(full)
    environ = {**os.environ, "UV_CACHE_DIR": str(work / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    python = store / alias / "bin" / name
    host(uv, "venv", "--offline", "--quiet", "--no-project", "--python", python, work / ".venv", env=environ)
    check_layout(work / ".venv", work)


def test_an_environment_made_in_the_sandbox(work):
    script = (
        "python -m venv --without-pip /tmp/new && . /tmp/new/bin/activate && "
        "python -c 'import sys; print(sys.prefix, sys.prefix != sys.base_prefix)'"
    )
    done = pylitebox.run(["sh", "-c", script], python=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("/tmp/new True\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="needs /usr/bin/python3 (python3)")
def test_an_environment_of_an_unprivileged_user():
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    readable = [*nobody, "test", "-r", f"{SOURCE}/pylitebox/__init__.py"]
    if subprocess.run(readable, check=False).returncode:
        pytest.skip("the package is not readable by other users")
    if subprocess.run(["/usr/bin/python3", "-c", "import venv, tomllib"], check=False).returncode:
        pytest.skip("needs Python 3.11 with venv in /usr/bin (python3-venv)")
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        work = Path(name)
        host("/usr/bin/python3", "-m", "venv", "--without-pip", work / "venv")
        check_layout(work / "venv", work, before=nobody)


def test_what_only_the_caller_has_on_its_path_is_not_shown(work):
    (work / "private").mkdir()
    program = "import pylitebox, sys; pylitebox.run(['ls', sys.argv[1]], python=True)"
    done = subprocess.run(
        [sys.executable, "-c", program, work / "private"], env={"PYTHONPATH": f"{SOURCE}:{work}/private"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "No such file" in done.stderr
