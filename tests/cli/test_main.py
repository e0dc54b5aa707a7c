"""The command line's other commands, its help, and how little it imports before it starts."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pylitebox
from pylitebox.cli.arguments import parse
from pylitebox.cli.main import main

SOURCE = os.path.dirname(os.path.dirname(pylitebox.__file__))


def test_what_is_behind_the_dashes_is_the_programs():
    assert parse(["run", "--env", "A=1", "--", "ls", "-l", "--", "x"]).program == ["ls", "-l", "--", "x"]
    assert parse(["run", "bash", "-c", "x", "--", "--user"]).program == ["bash", "-c", "x", "--", "--user"]


@pytest.mark.parametrize(
    ("arguments", "python", "program"),
    [
        (["--python", "--", "python3"], True, ["python3"]),
        (["--python", "python3", "-c", "x"], True, ["python3", "-c", "x"]),
        (["--env", "A=--python", "--python", "--strace", "ls"], True, ["ls"]),
        (["--python=/opt/python", "ls"], "/opt/python", ["ls"]),
        (["ls", "--python", "x"], None, ["ls", "--python", "x"]),
    ],
    ids=str,
)
def test_python_takes_a_name_only_behind_an_equals_sign(arguments, python, program):
    options = parse(["run", *arguments])
    assert (options.python, options.program) == (python, program)


@pytest.mark.parametrize("command", ["syscalls", "surface"])
def test_facts_in_every_format(command, capsys):
    for form in ("table", "markdown", "json"):
        assert main([command, "--format", form]) == 0
        output = capsys.readouterr().out
        assert "openat" in output
    facts = json.loads(output)
    if command == "surface":
        assert {"name", "conditions", "reason"} <= set(facts["guest"][0])
        assert facts["supervisor"]


def test_help_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pylitebox {pylitebox.__version__}\n"
    for arguments in (["--help"], ["run", "--help"], ["doctor", "--help"]):
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 0
        assert "pylitebox" in capsys.readouterr().out


def test_the_public_names_are_there():
    for name in pylitebox.__all__:
        assert getattr(pylitebox, name) is not None
    assert set(dir(pylitebox)) == set(pylitebox.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pylitebox.nothing


def test_the_command_line_starts_without_heavy_modules():
    program = "import sys, pylitebox.cli.main; print(' '.join(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"argparse", "asyncio", "ctypes", "dataclasses", "inspect", "logging", "pathlib", "subprocess", "traceback"}
    assert heavy & set(modules) == set()
    assert [name for name in modules if name.startswith(("pylitebox.kernel", "pylitebox.north"))] == []


def test_a_supervisor_imports_nothing_heavy():
    program = "import sys; from pylitebox.supervisor.main import preload; preload(); print(' '.join(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-S", "-c", program], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"argparse", "asyncio", "dataclasses", "inspect", "logging", "pathlib", "subprocess", "traceback"}
    assert heavy & set(modules) == set()


def test_output_that_nobody_reads_is_as_a_broken_pipe():
    program = [sys.executable, "-m", "pylitebox", "syscalls"]
    with subprocess.Popen(program, env={"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cli:
        assert cli.stdout is not None
        assert cli.stderr is not None
        cli.stdout.close()
        assert cli.stderr.read() == b""
    assert cli.returncode == 141


@pytest.mark.parametrize("arguments", [["--version"], ["syscalls"], ["surface", "--format", "json"]])
def test_output_that_cannot_be_written_is_one_sentence(arguments):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "pylitebox", *arguments], env={"PYTHONPATH": SOURCE}, stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (125, "pylitebox: standard output: No space left on device\n")


def test_a_confined_supervisor_imports_nothing_later():
    """It cannot read a file then: what the kernel imports inside functions must be there before."""
    program = "import sys; from pylitebox.supervisor.main import preload; preload(); print(' '.join(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-S", "-c", program], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=True
    ).stdout.split()
    later = set()
    for layer in ("kernel", "north"):
        for path in (Path(SOURCE) / "pylitebox" / layer).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text())):
                if isinstance(function, ast.FunctionDef):
                    later |= {node.module for node in ast.walk(function) if isinstance(node, ast.ImportFrom)}
    assert later - set(modules) == set()
