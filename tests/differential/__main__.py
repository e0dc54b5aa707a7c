"""The long run: ``python -m tests.differential --count 10000 --seed 1``.

Sequences are generated and run in batches, one start of the executor for each on either side. A batch that differs is
looked at sequence by sequence: those that differ when they are run alone are shrunk, and each kind of difference is
written, once, to the directory named, or printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.differential import strategies
from tests.differential.sequences import (
    Difference,
    Sides,
    compile_executor,
    differences,
    in_sandbox,
    on_host,
    shrink,
)

BATCH = 500


def seeds(count: int, seed: int) -> Iterator[tuple[int, int]]:
    """(sequences, seed) of each batch."""
    for number in range((count + BATCH - 1) // BATCH):
        yield min(BATCH, count - number * BATCH), seed * 1000 + number


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--theme", choices=sorted(strategies.ALL_THEMES))
    parser.add_argument("--workspace", action="store_true", help="run on a copy-on-write workspace with files")
    parser.add_argument("--disk", type=Path, help="compare the moving of ranges with the file system of this directory")
    parser.add_argument("--most", type=int, default=20, help="differences after which to stop")
    parser.add_argument("--coverage", action="store_true", help="say how often each operation succeeded")
    parser.add_argument("--output", type=Path, help="the directory to write differences to (else they are printed)")
    options = parser.parse_args()
    themes = strategies.WORKSPACE_THEMES if options.workspace else strategies.THEMES
    themes = [options.theme] if options.theme else strategies.MOVING_THEMES if options.disk else themes
    began = time.monotonic()
    kinds: set[str] = set()
    sequences = operations = 0
    results: Counter[tuple[str, bool]] = Counter()
    with tempfile.TemporaryDirectory(prefix="pylitebox-") as directory:
        Path(directory).chmod(0o755)
        executor = compile_executor(Path(directory))
        host = on_host(executor, prepared=options.workspace, place=options.disk)
        sides = (host, in_sandbox(executor, prepared=options.workspace))
        for count, seed in seeds(options.count, options.seed):
            batch = strategies.generate(count, seed, themes)
            started = time.monotonic()
            expected, got = (side(batch) for side in sides)
            sequences += len(batch)
            operations += sum(map(len, batch))
            unequal = []
            for lines, first, second in zip(batch, expected, got, strict=True):
                for line in first:
                    name, _, outcome = line.partition(":")
                    results[name[2:], not outcome.startswith((" -", " blocks"))] += 1
                if first != second:
                    unequal.append(lines)
            print(f"seed {seed}: {len(batch)} in {time.monotonic() - started:.1f} s, {len(unequal)} differ", flush=True)
            for lines, again in zip(unequal, differences(sides, unequal) if unequal else [], strict=True):
                _examine(lines, again, sides, kinds, options.output)
                if len(kinds) >= options.most:
                    break
            if len(kinds) >= options.most:
                break
    if options.coverage:
        for name in sorted({name for name, _ in results}):
            good, bad = results[name, True], results[name, False]
            print(f"{name:18} {good:7} of {good + bad:7} succeeded")
    spent = time.monotonic() - began
    print(f"{sequences} sequences, {operations} operations, {len(kinds)} kinds of difference, {spent:.0f} s")
    return 1 if kinds else 0


def _examine(lines: list[str], again: Difference, sides: Sides, kinds: set[str], output: Path | None) -> None:
    """Shrink one sequence that differs, if it is of a new kind and differs again."""
    if not again:
        print("-- differed in the batch, not again:", "; ".join(lines), flush=True)
        return
    if _kind(again) in kinds:
        return
    kinds.add(_kind(again))
    shortest = shrink(sides, lines)
    found = differences(sides, [shortest])[0] or again
    kind = _kind(found)
    if kind in kinds and kind != _kind(again):
        return
    kinds.add(kind)
    text = "\n".join([*(f"# host: {a}\n# ours: {b}" for a, b in found[:3]), *shortest, ""])
    print("--\n" + text, flush=True)
    if output is not None:
        (output / f"found-{len(list(output.iterdir()))}.txt").write_text(text)


def _kind(found: Difference) -> str:
    """Two differences are of one kind if their first lines look alike but for numbers."""
    return "".join(c for c in "|".join(found[0]) if not c.isdigit())


if __name__ == "__main__":
    sys.exit(main())
