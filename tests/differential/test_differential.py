"""Random sequences of operations do on our kernel what they do on the host's, in the sandbox's /tmp and on a workspace.

The gate runs a short, fixed choice; PYLITEBOX_SEQUENCES=N (10,000 with PYLITEBOX_LONG=1) runs more, and
``python -m tests.differential`` also finds the shortest form of what differs. Each file of regressions/ is a sequence
that once differed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential import strategies
from tests.differential.sequences import (
    CONSTANTS,
    KERNEL,
    compile_executor,
    decode,
    differences,
    in_sandbox,
    kernel_version,
    memory_directory,
    normalize,
    on_host,
    read,
    resolve,
    shrink,
)
from tests.guest.harness import need

LONG = "PYLITEBOX_LONG" in os.environ
COUNT = int(os.environ.get("PYLITEBOX_SEQUENCES", "10000" if LONG else "300"))
BATCH = 500
REGRESSIONS = Path(__file__).parent / "regressions"


@pytest.fixture(scope="module")
def executor() -> Iterator[Path]:
    need("gcc")
    if kernel_version() < KERNEL:
        pytest.skip("the host's kernel is older than the one that ours is compared with")
    try:
        memory_directory()
    except RuntimeError as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory(prefix="pylitebox-") as directory:
        Path(directory).chmod(0o755)
        yield compile_executor(Path(directory))


@pytest.mark.guest
@pytest.mark.timeout(60 + COUNT)
@pytest.mark.parametrize("prepared", [False, True], ids=["tmp", "workspace"])
def test_sequences(executor: Path, prepared: bool) -> None:
    sides = (on_host(executor, prepared=prepared), in_sandbox(executor, prepared=prepared))
    themes = strategies.WORKSPACE_THEMES if prepared else strategies.THEMES
    done = 0
    while done < COUNT:
        batch = strategies.generate(min(BATCH, COUNT - done), seed=done, themes=themes)
        suspects = [lines for lines, pairs in zip(batch, differences(sides, batch), strict=True) if pairs]
        # alone, on a machine that may be busy: what differs only once is a matter of time
        found = differences(sides, suspects) if suspects else []
        assert [(lines, pairs) for lines, pairs in zip(suspects, found, strict=True) if pairs] == []
        done += len(batch)


@pytest.mark.guest
def test_moving_ranges(executor: Path, tmp_path: Path) -> None:
    """Against a file system that has FALLOC_FL_COLLAPSE_RANGE, if the host's temporary directory is on one."""
    host = on_host(executor, place=tmp_path)
    probe = ["open a O_RDWR|O_CREAT 0o644", "write 3 8192", "fallocate 3 FALLOC_FL_COLLAPSE_RANGE 0 4096"]
    if host([probe])[0][2] != "0 fallocate: 0":
        pytest.skip("the file system of the temporary directory moves no ranges")
    batch = strategies.generate(min(COUNT, BATCH), seed=0, themes=strategies.MOVING_THEMES)
    found = differences((host, in_sandbox(executor)), batch)
    assert [(lines, pairs) for lines, pairs in zip(batch, found, strict=True) if pairs] == []


@pytest.mark.guest
def test_regressions(executor: Path) -> None:
    paths = sorted(REGRESSIONS.glob("*.txt"))
    assert len(paths) > 20
    sequences = [read(path) for path in paths]
    found = differences((on_host(executor), in_sandbox(executor)), sequences)
    assert {path.stem: pairs for path, pairs in zip(paths, found, strict=True) if pairs} == {}


def test_the_executor_does_what_it_is_told(executor: Path) -> None:
    lines = [
        "open a O_RDWR|O_CREAT 0o640", "write 3 10", "fork 1", "1 lseek 3 0 SEEK_CUR", "stat a", "1 exit 3",
        "wait4 @1 0", "utimensat AT_FDCWD a 5 7 0", "stat a", "chmod a 0o600", "stat a", "kill -1 SIGTERM", "close 9",
    ]  # fmt: skip
    assert on_host(executor)([lines, ["open a O_RDONLY 0"]]) == [
        [
            "0 open: 3",
            "0 write: 10",
            "0 fork: process-2",
            "1 lseek: 10",
            f"0 stat: 0 reg 640 n1 u{os.getuid()} g{os.getgid()} s10 b8 inode-0 a=- m=new c=new",
            "1 exit:",
            "  process 1 ended",
            "0 wait4: process-2 300",
            "0 utimensat: 0",
            f"0 stat: 0 reg 640 n1 u{os.getuid()} g{os.getgid()} s10 b8 inode-0 a=5.000000001 m=7.000000000 c=new",
            "0 chmod: 0",
            f"0 stat: 0 reg 600 n1 u{os.getuid()} g{os.getgid()} s10 b8 inode-0 a=5.000000001 m=7.000000000 c=new",
            "0 kill: refused",
            "0 close: -EBADF",
        ],
        ["0 open: -ENOENT"],
    ]


def test_a_difference_is_found_and_shrunk() -> None:
    def kernel(bug: bool):  # type: ignore[no-untyped-def]
        def execute(sequences):  # type: ignore[no-untyped-def]
            return [["0" if bug and "b" in lines and "d" in lines[lines.index("b") :] else "1"] for lines in sequences]

        return execute

    sides = (kernel(False), kernel(True))
    assert differences(sides, [["a"], ["b", "d"]]) == [[], [("1", "0")]]
    assert shrink(sides, ["a", "b", "c", "a", "d", "e", "d"]) == ["b", "d"]


def test_times_and_numbers_are_normalized() -> None:
    stat = "0 stat: 0 reg 644 n1 u0 g0 s5 b8 i=1b:{ino} a=1.0 m={m} c=1795807560.{c}"
    output = [stat.format(ino=7, m="1795807560.1", c=1), stat.format(ino=7, m="5.000000000", c=2), "P:71 P:70 P:71"]
    assert normalize(output) == [
        "0 stat: 0 reg 644 n1 u0 g0 s5 b8 inode-0 a=1.0 m=new c=new",
        "0 stat: 0 reg 644 n1 u0 g0 s5 b8 inode-0 a=1.0 m=5.000000000 c=new",
        "process-2 process-3 process-2",
    ]
    assert normalize(["0 mmap: 0", *output])[1] == "0 stat: 0 reg 644 n1 u0 g0 s5 inode-0 a=1.0 m=new c=new"
    assert decode(b"0 a: 1\n.\n.\n0 b: P:9\n.\n", 3, prepared=False) == [["0 a: 1"], [], ["0 b: process-2"]]
    assert decode(b"0 a: 1\n.\n0 b: 2\n", 3, prepared=False) == [["0 a: 1"], ["(no end)"], ["(not run)"]]


def test_constants_have_the_values_of_linux() -> None:
    assert resolve("open a/b O_RDWR|O_CREAT|0 0o644") == "open a/b 66 420"
    assert resolve("kill @1 SIGKILL") == "kill @1 9"
    assert CONSTANTS["EPOLLET"] == 1 << 31
    with pytest.raises(KeyError):
        resolve("open a O_NONSENSE")


def test_what_hypothesis_writes_can_be_resolved_and_is_the_same_for_a_seed() -> None:
    batch = strategies.generate(60, seed=3)
    assert batch == strategies.generate(60, seed=3)
    assert all(resolve(line) for lines in batch for line in lines)
    assert max(map(len, batch)) > 20
