"""The layers, read off the source: which package imports which, and who may have effects on the host.

import-linter checks the direction of the layers in CI; this test says the finer rules of ARCHITECTURE.md, and that the
run-time package imports nothing but itself and the standard library.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "pylitebox"

#: What a platform may know of the kernel: the contract, and how to say that something is wrong.
CONTRACT = {"kernel.platform", "kernel.errors", "kernel.wait", "kernel.log"}
#: What each part may import of ours. The longest matching folder counts.
ALLOWED = {
    "abi": {"abi"},
    "kernel": {"kernel", "abi"},
    "north": {"north", "kernel", "abi"},
    "south": {"south", "abi", *CONTRACT},
    "south/native": {
        "south.native", "south.hostfiles", "south.descriptors", "south.start", "south.clocks", "abi", *CONTRACT,
    },
    "south/kvm": {
        "south.kvm", "south.turns", "south.paging", "south.faults", "south.descriptors", "south.start", "abi",
        *CONTRACT,
    },
    "south/mock": {"south.mock", "kernel", "north", "abi"},  # a scripted guest calls through the table
    "south/paging": {"south.paging", "abi", *CONTRACT},
    "south/turns": {"south.turns", "south.paging", "south.watching", "south.clocks", "abi", *CONTRACT},
    "south/emulator": {"south.emulator", "south.turns", "south.paging", "south.faults", "abi", *CONTRACT},
    "south/local": {"south.local", "south.clocks", "abi", *CONTRACT},
    "supervisor": {"supervisor", "south", "north", "kernel", "abi"},
    # A kernel in the caller's own process: composed like a supervisor's, with options checked like a sandbox's.
    "library": {
        "library", "supervisor.view", "sandbox.options", "sandbox.errors", "sandbox.host_errors", "south.local",
        "south.hostfiles", "north.posix", "kernel", "abi",
    },
    # The protocol; and a child that is forked to be a supervisor enters by its main.
    "sandbox": {"sandbox", "supervisor.protocol", "supervisor.streaming", "supervisor.main", "abi"},
    # doctor, surface and syscalls print facts which their owners render
    "cli": {
        "cli", "sandbox", "abi", "south.native.report", "south.native.doctor", "north.linux.support",
        "supervisor.platforms",
    },
}

#: The standard library that has no effect on the host, and no constant of the host's; importlib loads the families.
PURE = {
    "__future__", "abc", "array", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "heapq",
    "importlib", "itertools", "json", "logging", "math", "operator", "re", "struct", "types", "typing", "weakref",
}  # fmt: skip


def modules(folder: str = "") -> list[Path]:
    return sorted((SOURCE / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Each module that ``path`` imports, with its line; not those for the type checker or of a script's main alone."""
    tree = ast.parse(path.read_text(), str(path))
    unreal = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unreal:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            if node.module.startswith("pylitebox"):
                # `from pylitebox.kernel import process` imports a module too
                yield from ((node.lineno, _module(node.module, alias.name)) for alias in node.names)
            else:
                yield node.lineno, node.module


def _module(package: str, name: str) -> str:
    inner = SOURCE.parent / package.replace(".", "/") / name
    return f"{package}.{name}" if inner.is_dir() or inner.with_suffix(".py").exists() else package


def rule(path: Path) -> set[str] | None:
    relative = path.relative_to(SOURCE).as_posix()
    matching = [folder for folder in ALLOWED if relative.startswith(folder + "/")]
    return ALLOWED[max(matching, key=len)] if matching else None


def test_each_folder_has_a_rule() -> None:
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {name for name in ALLOWED if "/" not in name}


@pytest.mark.parametrize("folder", sorted(name for name in ALLOWED if "/" not in name))
def test_imports_follow_the_layers(folder: str) -> None:
    wrong = []
    for path in modules(folder):
        allowed = rule(path)
        assert allowed is not None
        for line, name in imports(path):
            ours = name.removeprefix("pylitebox.")
            if name.startswith("pylitebox.") and not any(ours == a or ours.startswith(a + ".") for a in allowed):
                wrong.append(f"{path.relative_to(SOURCE)}:{line}: {name}")
    assert wrong == []


@pytest.mark.parametrize("folder", ["abi", "kernel", "north"])
def test_no_host_effects_below_the_contract(folder: str) -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in modules(folder)
        for line, name in imports(path)
        if not name.startswith("pylitebox") and name.partition(".")[0] not in PURE
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["abi", "kernel", "north"])
def test_no_files_are_opened_below_the_contract(folder: str) -> None:
    """The built-in functions that reach the host, called by their bare names."""
    wrong = [
        f"{path.relative_to(SOURCE)}:{node.lineno}: {node.func.id}"
        for path in modules(folder)
        for node in _host_calls(path)
        if isinstance(node.func, ast.Name)
    ]
    assert wrong == []


def _host_calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    defined |= {alias.asname or alias.name for alias in imported}
    forbidden = {"open", "input", "print", "__import__", "breakpoint"} - defined
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in forbidden:
            yield node


def test_only_the_standard_library_at_run_time() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in modules()
        for line, name in imports(path)
        if name.partition(".")[0] not in sys.stdlib_module_names | {"pylitebox"}
    ]
    assert wrong == []


def test_what_is_used_where_it_is_installed() -> None:
    """Packages of other people (extras in pyproject.toml) are imported by name, each in one place."""
    optional = {"south/archive.py": ["compression.zstd", "zstandard"]}
    found: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                name = node.args[0]
                if isinstance(name, ast.Constant) and not name.value.startswith("pylitebox."):
                    found.setdefault(path.relative_to(SOURCE).as_posix(), []).append(name.value)
    assert found == optional


def test_nothing_unpickles() -> None:
    """What comes from a guest, or over the control protocol, is never evaluated."""
    unsafe = {"pickle", "marshal", "shelve", "multiprocessing", "xmlrpc"}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in modules()
        for line, name in imports(path)
        if name.partition(".")[0] in unsafe
    ]
    assert wrong == []


def test_modules_with_rows_keep_their_annotations() -> None:
    """The table reads the argument kinds from the annotations when it is imported."""
    wrong = [
        str(path.relative_to(SOURCE))
        for path in modules("north")
        if "@syscall(" in (text := path.read_text())
        and path.name != "table.py"
        and "from __future__ import annotations" in text
    ]
    assert wrong == []
