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

MARKER = "<!-- The rest is written by tests/testing/mutations.py. -->\n"

_SEARCH = f"""
import gc, json, signal, sys

def late(number, frame):
    raise TimeoutError("a history without an end in real time")

signal.signal(signal.SIGALRM, late)
first, last, skipped = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
from {PACKAGE}.testing.simulation.history import run
digests, hits = {{}}, {{}}
gc.disable()
for seed in range(first, last + 1):
    if seed in skipped:
        continue
    if seed % 50 == 0:
        gc.collect()
    signal.alarm({HISTORY_SECONDS})
    try:
        history = run(seed)
        found = [[each.rule, each.text] for each in history.violations]
        if sys.argv[5] == "effects":
            digests[seed] = history.digest()[:12]
    except Exception as error:
        found = [["i", f"the simulation raised {{error!r}}"]]
    signal.alarm(0)
    if found:
        hits[seed] = found
        if sys.argv[4] == "stop":
            break
print(json.dumps([hits, digests]))
"""
"""Prints the seeds with violations (the first one only, with ``stop``), and the digests of all histories."""


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
    changed: int | None = None
    """In how many histories the mutation had any effect; None if that was not measured."""

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

    def __init__(self, seeds: int, folder: Path, skip: Sequence[int] = ()) -> None:
        self.seeds = seeds
        self.skip = skip
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known = folder / f"baseline-{_digest()}.json"
        self._digests: dict[int, str] = {}

    def run(self, mutation: Mutation) -> Found:
        """Search for the first history that breaks a rule because of the mutation."""
        first, digests = 0, dict[int, str]()
        with tempfile.TemporaryDirectory(prefix=f"mutation-{mutation.number}-") as name:
            copy = Path(name)
            shutil.copytree(ROOT / PACKAGE, copy / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
            apply(mutation, copy / PACKAGE)
            while first < self.seeds:
                skipped = [*self.skip, *(seed for seed, bad in self._baseline().items() if bad)]
                hits, more = _search(copy, first, self.seeds - 1, skipped, effects=bool(self._digests))
                digests.update(more)
                if not hits:
                    break
                ((seed, violations),) = hits.items()
                if self._is_good(seed):
                    broken = ", ".join(dict.fromkeys(rule for rule, _ in violations))
                    return Found(mutation.number, mutation.rule, seed + 1, seed, broken, violations[0][1])
                first = seed + 1
        right = self._digests
        changed = sum(right.get(seed, digest) != digest for seed, digest in digests.items())
        return Found(mutation.number, mutation.rule, self.seeds, changed=changed if right else None)

    def measure(self) -> None:
        """Run all seeds without a mutation, so that the effects of mutations can be counted."""
        path = self._known.with_name(f"digests-{self.seeds}-{self._known.name}")
        if not path.exists():
            hits, digests = _search(ROOT, 0, self.seeds - 1, [], stop=False, effects=True)
            self._known.write_text(json.dumps({seed: seed in hits for seed in range(self.seeds)}))
            path.write_text(json.dumps(digests))
        self._digests = {int(seed): digest for seed, digest in json.loads(path.read_text()).items()}

    def _is_good(self, seed: int) -> bool:
        """Whether the package itself has no violation on a seed."""
        known = self._baseline()
        if seed not in known:
            bad = bool(_search(ROOT, seed, seed, [])[0])
            known = {**self._baseline(), seed: bad}
            partial = self._known.with_suffix(f".{os.getpid()}-{seed}")
            partial.write_text(json.dumps(known))
            partial.replace(self._known)
        return not known[seed]

    def _baseline(self) -> dict[int, bool]:
        if not self._known.exists():
            return {}
        return {int(seed): bad for seed, bad in json.loads(self._known.read_text()).items()}


def _search(
    path: Path,
    first: int,
    last: int,
    skipped: Sequence[int],
    *,
    stop: bool = True,
    effects: bool = False,
) -> tuple[dict[int, list[list[str]]], dict[int, str]]:
    """Violations by seed, of the first bad history with ``stop``, else of all.

    With ``effects`` also the digests of all histories by seed.
    """
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    how = "stop" if stop else "all"
    numbers = [str(first), str(last), json.dumps(list(skipped))]
    arguments = [sys.executable, "-c", _SEARCH, *numbers, how, "effects" if effects else "-"]
    done = subprocess.run(arguments, env=environment, cwd=path, capture_output=True, text=True, check=False)
    if done.returncode:
        return {first: [["i", done.stderr.strip()[-300:]]]}, {}
    hits, digests = json.loads(done.stdout)
    return {int(seed): each for seed, each in hits.items()}, {
        int(seed): each for seed, each in digests.items()
    }


def _digest() -> str:
    """Identifies the sources of the package without a mutation."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Results.


def table(found: Sequence[Found]) -> Iterator[str]:
    """The results as a Markdown table."""
    yield "| no. | rule that is broken | histories until it was found | oracle's rule |"
    yield "|---|---|---|---|"
    for each in sorted(found, key=lambda each: each.number):
        seeds = f"{each.histories}" if each.seed is not None else f"not found in {each.histories}"
        if each.changed is not None:
            seeds += f" ({each.changed} changed)"
        yield f"| {each.number} | {each.rule} | {seeds} | {each.broken or '-'} |"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutations that the command line names. Returns the number of those not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.testing.mutations", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="the mutations to run; all if none is named")
    parser.add_argument("--seeds", type=int, default=20_000, help="histories to run at most")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="mutations at a time")
    parser.add_argument(
        "--skip", type=_numbers, default=(), metavar="N,N", help="seeds that fail for another reason as well"
    )
    parser.add_argument("--effects", action="store_true", help="count the histories that a mutation changes")
    parser.add_argument("--folder", type=Path, default=Path("tmp/mutations"), help="where results are kept")
    parser.add_argument("--table", type=Path, help="the page whose table gets all kept results")
    options = parser.parse_args(arguments)
    runner = Runner(options.seeds, options.folder, options.skip)
    if options.effects:
        runner.measure()
    chosen = [each for each in MUTATIONS if not options.numbers or each.number in options.numbers]
    missed = 0
    with ThreadPoolExecutor(options.j) as pool:
        for found in pool.map(runner.run, chosen):
            missed += found.seed is None
            text = json.dumps(asdict(found))
            (options.folder / f"result-{found.number}.json").write_text(text)
            where = (
                f"seed {found.seed}, ({found.broken}) {found.text[:160]}"
                if found.text
                else f"NOT FOUND, changed {found.changed}"
            )
            note = " INVALID" if found.is_invalid else ""
            print(f"{found.number:3} {found.rule}: {where}{note}", flush=True)
    if options.table is not None:
        kept = [json.loads(path.read_text()) for path in options.folder.glob("result-*.json")]
        page = options.table.read_text().partition(MARKER)[0] if options.table.exists() else ""
        rows = "\n".join(table([Found(**each) for each in kept]))
        options.table.write_text(f"{page}{MARKER}\n{rows}\n")
    return missed


if __name__ == "__main__":
    sys.exit(main())
