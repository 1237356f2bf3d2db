"""``python -m tests.testing.mutations``: breaks one rule at a time, and runs the simulation until it notices.

The simulation proves the engine; mutations prove the simulation. Each mutation is applied to a copy of the
package, and histories are run from seed 0 upwards until the oracle reports a violation. A seed counts only if
the package without the mutation has no violation on it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

from tests.testing.mutation_list import Mutation
from tests.testing.mutation_list import MUTATIONS

PACKAGE = "pytest_clusterjobs"
ROOT = Path(__file__).parents[2]
HISTORY_SECONDS = 60
"""A history that takes longer in real time is a hang."""
BROKEN = ("NameError", "TypeError", "AttributeError", "ImportError", "SyntaxError", "UnboundLocalError")
"""Errors of a mutation that is no valid code, and proves nothing."""

_SEARCH = f"""
import json, signal, sys

def late(number, frame):
    raise TimeoutError("a history without an end in real time")

signal.signal(signal.SIGALRM, late)
first, last, skipped = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
from {PACKAGE}.testing.simulation.history import run
for seed in range(first, last + 1):
    if seed in skipped:
        continue
    signal.alarm({HISTORY_SECONDS})
    try:
        found = [[each.rule, each.text] for each in run(seed).violations]
    except Exception as error:
        found = [["i", f"the simulation raised {{error!r}}"]]
    signal.alarm(0)
    if found:
        print(json.dumps([seed, found]))
        break
"""
"""Prints the first seed with a violation, and its violations."""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a mutation."""

    number: int
    rule: str
    histories: int
    """How many histories were run."""
    seed: int | None = None
    """The first seed with a violation; None if there was none."""
    broken: str = ""
    """The letter of the oracle's rule."""
    text: str = ""

    @property
    def is_invalid(self) -> bool:
        """Whether the mutation itself is no valid code."""
        return any(name in self.text for name in BROKEN)


def apply(mutation: Mutation, folder: Path) -> None:
    """Change the copy of the package in ``folder``. Raises ValueError unless each old text occurs once."""
    for name, old, new in mutation.changes:
        path = folder / name
        text = path.read_text()
        if text.count(old) != 1:
            raise ValueError(f"mutation {mutation.number}: {name} has {text.count(old)} times: {old!r}")
        path.write_text(text.replace(old, new))


class Runner:
    """Runs mutations in temporary copies. ``folder`` keeps what is known of the seeds without a mutation."""

    def __init__(self, seeds: int, folder: Path) -> None:
        self.seeds = seeds
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known = folder / f"baseline-{_digest()}.json"

    def run(self, mutation: Mutation) -> Found:
        """Search for the first history that breaks a rule because of the mutation."""
        first, count = 0, 0
        with tempfile.TemporaryDirectory(prefix=f"mutation-{mutation.number}-") as name:
            copy = Path(name)
            shutil.copytree(ROOT / PACKAGE, copy / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
            apply(mutation, copy / PACKAGE)
            while first < self.seeds:
                skipped = [seed for seed, bad in self._baseline().items() if bad and seed >= first]
                hit = _search(copy, first, self.seeds - 1, skipped)
                if hit is None:
                    break
                seed, violations = hit
                if self._is_good(seed):
                    broken = ", ".join(dict.fromkeys(rule for rule, _ in violations))
                    return Found(mutation.number, mutation.rule, seed + 1, seed, broken, violations[0][1])
                first = seed + 1
                count += 1
        return Found(mutation.number, mutation.rule, self.seeds)

    def _is_good(self, seed: int) -> bool:
        """Whether the package itself has no violation on a seed."""
        known = self._baseline()
        if seed not in known:
            bad = _search(ROOT, seed, seed, []) is not None
            known = {**self._baseline(), seed: bad}
            partial = self._known.with_suffix(f".{os.getpid()}-{seed}")
            partial.write_text(json.dumps(known))
            partial.replace(self._known)
        return not known[seed]

    def _baseline(self) -> dict[int, bool]:
        if not self._known.exists():
            return {}
        return {int(seed): bad for seed, bad in json.loads(self._known.read_text()).items()}


def _search(path: Path, first: int, last: int, skipped: Sequence[int]) -> tuple[int, list[list[str]]] | None:
    """The first seed with a violation, and its violations."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [sys.executable, "-c", _SEARCH, str(first), str(last), json.dumps(list(skipped))]
    done = subprocess.run(arguments, env=environment, cwd=path, capture_output=True, text=True, check=False)
    if done.returncode:
        return first, [["i", done.stderr.strip()[-300:]]]
    if not done.stdout:
        return None
    seed, violations = json.loads(done.stdout)
    return seed, violations


def _digest() -> str:
    """Identifies the sources of the package without a mutation."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Results.


def table(found: Sequence[Found]) -> Iterator[str]:
    """The results as a Markdown table."""
    yield "| no. | rule that is broken | seeds to the first violation | oracle's rule |"
    yield "|---|---|---|---|"
    for each in sorted(found, key=lambda each: each.number):
        seeds = f"{each.histories}" if each.seed is not None else f"not found in {each.histories}"
        yield f"| {each.number} | {each.rule} | {seeds} | {each.broken or '-'} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutations that the command line names. Returns the number of those not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.testing.mutations", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="the mutations to run; all if none is named")
    parser.add_argument("--seeds", type=int, default=20_000, help="histories to run at most")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="mutations at a time")
    parser.add_argument("--folder", type=Path, default=Path("tmp/mutations"), help="where results are kept")
    parser.add_argument("--table", type=Path, help="write all kept results there, as a Markdown table")
    options = parser.parse_args(arguments)
    runner = Runner(options.seeds, options.folder)
    chosen = [each for each in MUTATIONS if not options.numbers or each.number in options.numbers]
    missed = 0
    with ThreadPoolExecutor(options.j) as pool:
        for found in pool.map(runner.run, chosen):
            missed += found.seed is None
            text = json.dumps(asdict(found))
            (options.folder / f"result-{found.number}.json").write_text(text)
            where = f"seed {found.seed}, ({found.broken}) {found.text[:160]}" if found.text else "NOT FOUND"
            note = " INVALID" if found.is_invalid else ""
            print(f"{found.number:3} {found.rule}: {where}{note}", flush=True)
    if options.table is not None:
        kept = [json.loads(path.read_text()) for path in options.folder.glob("result-*.json")]
        options.table.write_text("\n".join(table([Found(**each) for each in kept])) + "\n")
    return missed


if __name__ == "__main__":
    sys.exit(main())
