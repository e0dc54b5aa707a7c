"""The Linux programs that run under Wine: what they are given, whose output must be the host's."""

from __future__ import annotations

from typing import NamedTuple


class Program(NamedTuple):
    name: str
    argv: list[str]
    input: bytes = b""


def bash(name: str, script: str, data: bytes = b"") -> Program:
    return Program(f"bash: {name}", ["/usr/bin/bash", "-c", script], data)


def python(name: str, script: str, data: bytes = b"") -> Program:
    return Program(f"python3.11: {name}", ["/usr/bin/python3.11", "-ISc", script], data)


def busybox(name: str, script: str, data: bytes = b"") -> Program:
    return Program(f"busybox: {name}", ["/usr/bin/busybox", "sh", "-c", script], data)


PROGRAMS = (
    busybox("static, a pipeline", "for i in 3 1 2; do echo $i; done | busybox sort | busybox tail -n 1"),
    busybox("files", "cd /tmp && busybox mkdir -p d/e && echo x > d/e/f && busybox cat d/*/f && busybox rm -r d"),
    busybox("what it reads", "busybox sha256sum; exit 7", b"data\n" * 5000),
    bash("a pipeline of many processes", "for i in $(seq 20); do echo $i | cat; done | sort -n | tail -1"),
    bash("a trap, and a signal of its own", "trap 'echo caught; exit 4' TERM; kill -TERM $$; echo not reached"),
    bash("ended by a signal", "kill -KILL $$"),
    bash("job control", "sleep 60 & kill %1; wait $!; echo $?; (exit 3); echo $?; cat <(echo inner)"),
    bash("input to its end", "while read -r x; do echo \"${x^^}\"; done; printf '%05d\\n' 42", b"one\ntwo\nthree\n"),
    bash("much output", "head -c 300000 /dev/zero | tr '\\0' 'y'"),
    bash("not found", "no-such-program 2> /dev/null; echo $?"),
    python("dynamic, its version", "import sys; print(sys.version_info[:3], sys.platform)"),
    python("modules with libraries", "import json, zlib, hashlib, decimal; print(json.dumps([zlib.crc32(b'x'), "
           "hashlib.sha256(b'y').hexdigest(), str(decimal.Decimal(2).sqrt())]))"),
    python("threads", "import threading as t; l = []; a = [t.Thread(target=lambda i=i: l.append(sum(range(i)))) "
           "for i in range(8)]; [x.start() for x in a]; [x.join() for x in a]; print(sorted(l))"),
    python("subprocess", "import subprocess as s; print(s.run(['tr', 'a-z', 'A-Z'], input=b'words', "
           "capture_output=True).stdout, s.run(['bash', '-c', 'exit 9']).returncode)"),
    python("fork and pipes", "import os; r, w = os.pipe(); p = os.fork()\n"
           "if not p: os.write(w, b'child'); os._exit(6)\n"
           "print(os.read(r, 9), os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))"),
    python("floating point", "import math; print([math.sin(x / 7) ** 2 + math.exp(-x) for x in range(20)])"),
    python("a failure", "import sys; print(sys.stdin.read()); sys.exit(5)", b"input"),
)  # fmt: skip
