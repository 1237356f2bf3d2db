"""``python -m pytest_clusterjobs.testing.simulation``: runs histories, and shrinks a failing one."""

from __future__ import annotations

import argparse
import gc
import hashlib
import multiprocessing
import sys
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import partial

from .coverage import Coverage
from .coverage_bounds import recorded
from .history import History
from .history import run
from .shrink import EVERYTHING
from .shrink import Plan
from .shrink import render
from .shrink import shrink

CHUNK = 50
"""How many histories a worker is given at once."""
PROGRESS_SECONDS = 5.0


@dataclass(slots=True)
class Chunk:
    """What is known of some histories."""

    coverage: Coverage = field(default_factory=Coverage)
    events: list[int] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    faultless: int = 0
    bad: list[tuple[int, list[str]]] = field(default_factory=list)
    """Seeds with their violations."""
    digests: list[str] = field(default_factory=list)

    def add(self, history: History, *, hashed: bool = False) -> None:
        """Count a history, and with ``hashed`` keep its digest."""
        self.coverage.merge(history.coverage)
        self.events.append(history.events)
        self.cells.append(len(history.cells))
        self.faults.append(len(history.faults))
        self.faultless += history.faultless
        if hashed:
            self.digests.append(history.digest())
        if history.violations:
            self.bad.append((history.seed, [str(each) for each in history.violations]))

    def merge(self, other: Chunk) -> None:
        """Add the counts of other histories."""
        self.coverage.merge(other.coverage)
        for name in ("events", "faults", "cells", "bad", "digests"):
            getattr(self, name).extend(getattr(other, name))
        self.faultless += other.faultless


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for. Returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.seed is not None:
        return _show(options)
    ranges = options.seeds
    found = Chunk()
    begin = time.perf_counter()
    chunks = _chunks(ranges, options.j, hashed=options.hash)
    for chunk in _progress(chunks, sum(map(len, ranges)), begin):
        found.merge(chunk)
        if found.bad and options.stop:
            break
    if options.hash:
        print(hashlib.sha256("".join(found.digests).encode()).hexdigest())
    if options.table:
        print(found.coverage.table())
    _summary(found, time.perf_counter() - begin)
    missing = list(found.coverage.violations(recorded(options.coverage))) if options.coverage else []
    for violation in missing:
        print(violation)
    if not found.bad:
        return 1 if missing else 0
    for seed, texts in sorted(found.bad)[: options.show]:
        print(f"--seed {seed}", *(f"    {text[:300]}" for text in texts[:3]), sep="\n")
    if options.shrink:
        seed = min(found.bad)[0]
        print(render(shrink(run, seed)), f"replay: --seed {seed}", sep="\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_clusterjobs.testing.simulation", description=__doc__
    )
    parser.add_argument(
        "--seeds", type=_ranges, default=[range(1000)], metavar="A..B[,C..D]", help="the seeds to run"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="replay one history, and print its timeline")
    parser.add_argument("--cells", type=_numbers, metavar="N,N", help="with --seed: keep these cells only")
    parser.add_argument(
        "--kinds", type=_words, metavar="K,K", help="with --seed: keep these kinds of faults only"
    )
    parser.add_argument("--faults", type=_numbers, metavar="N,N", help="with --seed: keep these actions only")
    parser.add_argument(
        "--shrink", action="store_true", help="make the failing history with the lowest seed small"
    )
    parser.add_argument("--plain", action="store_true", help="with --seed: without events and commands")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="worker processes")
    parser.add_argument("--hash", action="store_true", help="print one digest of all histories")
    parser.add_argument("--table", action="store_true", help="print the coverage table")
    parser.add_argument(
        "--coverage",
        type=int,
        metavar="N",
        help="fail if a transition, a reason or a fault occurs less than N times, or errors are too frequent",
    )
    parser.add_argument("--show", type=int, default=10, metavar="N", help="failing seeds to print")
    parser.add_argument("--stop", action="store_true", help="stop at the first violation")
    return parser


def _ranges(text: str) -> list[range]:
    """Ranges of seeds, their ends included."""
    parts = [part.partition("..") for part in text.split(",")]
    return [range(int(first), int(last or first) + 1) for first, _, last in parts]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",") if each)


def _words(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)


def _show(options: argparse.Namespace) -> int:
    plan = EVERYTHING
    if (options.cells, options.kinds, options.faults) != (None, None, None):
        plan = Plan(options.cells, options.kinds, options.faults)
    if options.shrink:
        plan = shrink(run, options.seed, plan).plan
    history = run(options.seed, plan, shown=not options.plain)
    print(render(history))
    print(f"{history.events} events, digest {run(options.seed, plan).digest()}")
    return 1 if history.violations else 0


def _chunks(ranges: Sequence[range], workers: int, *, hashed: bool) -> Iterator[Chunk]:
    """The chunks, in the order of their seeds."""
    parts = [seeds[at : at + CHUNK] for seeds in ranges for at in range(0, len(seeds), CHUNK)]
    run_chunk = partial(_run_chunk, hashed=hashed)
    if workers <= 1:
        yield from map(run_chunk, parts)
        return
    with multiprocessing.Pool(workers) as pool:
        yield from pool.imap(run_chunk, parts)


def _run_chunk(seeds: range, *, hashed: bool) -> Chunk:
    found = Chunk()
    # The cycles of one chunk fit into memory; to search for them all the time takes a twentieth of the time.
    gc.disable()
    try:
        for seed in seeds:
            try:
                found.add(run(seed), hashed=hashed)
            except Exception as error:
                found.bad.append((seed, [f"(i) the simulation raised {error!r}"]))
    finally:
        gc.enable()
        gc.collect()
    return found


def _progress(chunks: Iterator[Chunk], total: int, begin: float) -> Iterator[Chunk]:
    done = bad = 0
    next_at = begin + PROGRESS_SECONDS
    for chunk in chunks:
        done += len(chunk.events)
        bad += len(chunk.bad)
        now = time.perf_counter()
        if now >= next_at:
            rate = done / (now - begin)
            text = f"{done}/{total} histories, {rate:.0f}/s, {bad} with violations, {(total - done) / rate:.0f} s left"
            print(text, file=sys.stderr, flush=True)
            next_at = now + PROGRESS_SECONDS
        yield chunk


def _summary(found: Chunk, seconds: float) -> None:
    count = len(found.events)
    if not count:
        return
    print(
        f"{count} histories in {seconds:.1f} s, {len(found.bad)} with violations, {found.faultless} without faults"
    )
    medians = [sorted(each)[count // 2] for each in (found.cells, found.faults, found.events)]
    print("median: {} cells, {} kinds of faults, {} events".format(*medians))
    kinds = sorted(found.coverage.faults.items(), key=lambda item: (-item[1], item[0]))
    print("histories by kind:", ", ".join(f"{kind} {times}" for kind, times in kinds))


if __name__ == "__main__":
    sys.exit(main())
