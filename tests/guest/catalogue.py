"""The programs that must run unmodified, with the host's output: name -> command line and standard input.

test_programs.py runs them on each platform, test_variants.py in each variant. Scripts are files under programs/, given
by their text; each works in an empty /tmp and prints nothing that differs between two runs on one host.

A program's row also says on which platforms it is expected to fail, and why (FAILS), whether the gate runs it on the
platforms where programs are slow (PORTABLE), and whether the gate runs it at all (LONG).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

SCRIPTS = Path(__file__).parent / "programs"
PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Program:
    """A command line whose status and output must equal the host's."""

    argv: tuple[str, ...]
    stdin: str = ""
    timeout: float = 60.0
    needs: tuple[str, ...] = ()  # programs beyond argv[0]
    fails: Mapping[str, str] = field(default_factory=dict)  # platform -> why it cannot run there


def scripts(folder: str, *interpreter: str, stdin: str = "", suffix: str = "") -> dict[str, Program]:
    """The scripts of a folder, each as the argument of ``interpreter``."""
    found = sorted((SCRIPTS / folder).glob(f"*{suffix}"))
    return {f"{folder} {path.stem}": Program((*interpreter, path.read_text()), stdin) for path in found}


def sources(folder: str, suffix: str, command: str) -> dict[str, Program]:
    """The programs of a folder that are compiled first: a shell ``command`` whose standard input is the source."""
    found = sorted((SCRIPTS / folder).glob(f"*{suffix}"))
    return {f"{folder} {path.stem}": Program(("bash", "-c", command), path.read_text(), 120.0) for path in found}


def busybox(*argv: str, stdin: str = "") -> Program:
    return Program(("busybox", *argv), stdin)


BUSYBOX = {
    "busybox true": busybox("true"),
    "busybox false": busybox("false"),
    "busybox echo": busybox("echo", "hello", "world"),
    "busybox cat": busybox("cat", stdin="some\ninput\n"),
    "busybox sh": busybox("sh", "-c", "x=5; while [ $x -gt 0 ]; do echo $x; x=$((x-1)); done; exit 7"),
    "busybox pipeline": busybox(
        "sh", "-c", "busybox seq 20 | while read i; do echo $i | busybox cat; done | busybox sort -n | busybox tail -1"
    ),
    "busybox files": busybox("sh", "-c", "mkdir -p a/b && echo hi > a/b/c && ls -R a && cp -r a d && rm -r a && ls d"),
    "busybox archive": busybox(
        "sh", "-c", "mkdir d; seq 1000 > d/f; tar cf t d; rm -r d; gzip t; gunzip t.gz; tar xf t; md5sum d/f"
    ),
    "busybox tools": busybox("sh", "-c", "seq 9 | sed 's/5/five/' | awk '{s+=$1} END {print s}'; expr 6 '*' 7"),
}

#: The sentence of the issue, word for word.
ISSUE = {
    "bash issue": Program(("bash", "-c", "for i in $(seq 50); do echo $i | cat; done | sort -n | tail -1")),
}

PYTHON_INPUT = {
    "python3 json": Program(
        (PYTHON, "-c", "import json, sys; d = json.load(sys.stdin); d['n'] += 1; json.dump(d, sys.stdout)"),
        '{"n": 41, "a": [1, null]}',
    ),
    "python3 lines": Program((PYTHON, "-c", "import sys; print([len(l) for l in sys.stdin])"), "one\ntwo\nthree"),
    "python3 script on stdin": Program((PYTHON, "-"), "print(6 * 7)"),
    "python3 version": Program((PYTHON, "-I", "-S", "-V")),
}

NEEDS = {
    "tools make": ("make",), "tools git": ("git",), "tools gcc": ("gcc",), "tools gawk": ("gawk",),
    "tools mawk": ("mawk",),
    "tools tar": ("xz",), "tools gzip": ("xz",), "tools ipcs": ("ipcs",), "java Processes": ("javac", PYTHON),
    "developer archives": ("cpio", "zip", "unzip"), "developer cmake": ("cmake", "ninja", "gcc", "make"),
    "developer compressors": ("xz", "zstd", "bzip2"), "developer diff-patch": ("patch",),
    "developer editors": ("ed", "less", "more"), "developer flock": ("flock",), "developer g++": ("g++",),
    "developer gcc-libraries": ("gcc",), "developer git": ("git",), "developer jq": ("jq",),
    "developer make-jobs": ("make", "gcc"), "developer ninja": ("ninja",), "developer pip": (PYTHON,),
    "developer rsync": ("rsync",), "developer sqlite3": ("sqlite3",), "developer vim": ("vim",),
    "developer sqlite3-busy": ("sqlite3", PYTHON), "developer sqlite3-crash": ("sqlite3", PYTHON),
    "developer sqlite3-two-processes": ("sqlite3", PYTHON),
    "terminals pty": ("bash",), "terminals programs": (PYTHON, "script", "less", "more", "vim"),
    "developer utilities": ("bc", "tclsh", "openssl", "file", "strings", "xxd"), "developer-long git": ("git",),
}  # fmt: skip
#: The same for all programs of a folder.
FOLDERS_NEED = {
    "python-modules": (PYTHON,), "go": ("go",), "java": ("javac",), "lua": ("lua5.4",), "tcl": ("tclsh",),
}  # fmt: skip
TIMEOUTS = {
    "python-modules venv-with-pip": 240.0, "python-modules spawn": 120.0, "go tools": 180.0, "go rebuild": 400.0,
    "java tools": 120.0, "java diagnosis": 120.0, "developer pip": 240.0, "developer-long git": 300.0,
    "developer-long sort": 300.0,
}  # fmt: skip


#: What a platform cannot do: name -> platform -> why.
_NO_VDSO = "there is no vDSO for ldd to show: the time is a call"
_DEOPTIMIZED = "V8's optimised code crashes now and then on the emulated CPU; why is not known"
FAILS: dict[str, dict[str, str]] = {
    "tools ldd": {"kvm": _NO_VDSO, "emulator": _NO_VDSO},
    "python3 signals-and-threads": {
        "kvm": "a nested hypervisor may say #UD of an access to a non-canonical address by an AVX instruction: SIGILL"
    },
    "node streams": {"emulator": _DEOPTIMIZED},
}
#: Those that happen to work here and there: (name, platform).
SOMETIMES = {("python3 signals-and-threads", "kvm"), ("node streams", "emulator")}


def _complete(name: str, program: Program) -> Program:
    needs = NEEDS.get(name, FOLDERS_NEED.get(name.split(maxsplit=1)[0], ()))
    timeout = TIMEOUTS.get(name, program.timeout)
    return replace(program, timeout=timeout, needs=needs, fails=FAILS.get(name, {}))


PROGRAMS: dict[str, Program] = {
    name: _complete(name, program)
    for name, program in {
        **BUSYBOX,
        **scripts("coreutils", "bash", "-c"),
        **ISSUE,
        **scripts("bash", "bash", "-c", stdin="b:a\nd:c\nrest\n"),
        **scripts("tools", "bash", "-c"),
        **scripts("perl", "perl", "-e"),
        **scripts("python3", PYTHON, "-c"),
        **PYTHON_INPUT,
        **scripts("terminals", PYTHON, "-c", suffix=".py"),
        **scripts("terminals", "bash", "-c", suffix=".sh"),
        **scripts("python-modules", "bash", "-c"),
        **scripts("developer", "bash", "-c"),
        **scripts("developer-long", "bash", "-c"),
        **scripts("node", "node", "-e", stdin="some\ninput\n"),
        **sources("go", ".go", "cat >main.go && go build -o program main.go && exec ./program <main.go"),
        **scripts("go", "bash", "-c", suffix=".sh"),
        **sources("java", ".java", "cat >Main.java && java Main.java <Main.java"),
        **scripts("java", "bash", "-c", suffix=".sh"),
        **scripts("ruby", "ruby", "-e", stdin="some\ninput\n"),
        **sources("lua", ".lua", "cat >script && exec lua5.4 script <script"),
        **sources("tcl", ".tcl", "cat >script && exec tclsh script <script"),
    }.items()
}
#: What takes long, and shows by size what others show by kind: run with PYLITEBOX_LONG=1.
LONG = {"go rebuild", "java diagnosis", *(name for name in PROGRAMS if name.startswith("developer-long"))}
#: What the gate runs on the platforms where programs are slow: a part that touches everything.
PORTABLE = (
    *BUSYBOX, *ISSUE, "bash trap", "bash trap-in-a-pipeline", "bash subshells", "bash here-documents",
    "bash command-substitution", "bash process-substitution", "bash background-jobs", "bash exit-statuses",
    "bash redirections", "coreutils cp", "coreutils mkfifo", "tools tar", "tools make", "tools gcc", "perl processes",
    "python3 json", "python3 threading", "python3 subprocess", "python3 signal", "python3 mmap", "python3 sqlite3",
    "python3 os", "tools git",
)  # fmt: skip
#: How many times as long as on native a program may take.
PATIENCE = {"native": 1.0, "kvm": 4.0, "emulator": 8.0}


def part(platform: str, *, whole: bool = False, long: bool = False) -> list[str]:
    """The names that a platform runs: the gate's part, the ``whole`` of it, or the ``long`` ones, too."""
    if long:
        return list(PROGRAMS)
    if whole or platform == "native":
        return [name for name in PROGRAMS if name not in LONG]
    return list(PORTABLE)
