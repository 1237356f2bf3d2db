"""The benchmarks on this machine: ``python -m benchmarks > benchmarks/results.md``.

Each is a ratio to a peer or a floor that is measured in the same run, in turns. Absolute times depend on the
machine.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median

from .measure import in_turns
from .measure import line
from .measure import OURS
from .measure import PYTEST
from .measure import run

SITE = """
[tool.clusterjobs.backends.local]
slots = {slots}

[tool.clusterjobs.backends.noop]
type = "pytest_clusterjobs.testing.noop:NOOP"
"""

POOL = """
import subprocess, sys
from concurrent.futures import ThreadPoolExecutor

def job(number):
    return subprocess.run({command!r}).returncode

with ThreadPoolExecutor({width}) as pool:
    assert not any(pool.map(job, range({jobs})))
"""


def project(folder: Path, *, slots: int = 64, **files: str) -> Path:
    """Write a project. In the name of a file ``__`` is ``/``, and ``_yaml`` and ``_py`` are its suffix."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(SITE.format(slots=slots))
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml").replace("_py", ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


STAMPS = """
import time

def pytest_runtest_logreport(report):
    if report.when == "call":
        cell = report.nodeid.rpartition("::")[2]
        with open(cell.partition("-")[0] + ".judged", "w") as stamp:
            stamp.write(repr(time.time()))
"""


def matrix(run_text: str, recipes: int, backend: str = "local") -> str:
    """A matrix of ``recipes`` cells that all run the same command."""
    names = ", ".join(f'r{number}: "{run_text}"' for number in range(recipes))
    return f"backend: {backend}\nrecipes: {{{names}}}\nnodes: [1]\nconditions: {{c: {{}}}}\n"


def sleeping_jobs(base: Path, jobs: int, rounds: int) -> str:
    """Jobs of 2 s that all run at once, against the duration of one."""
    folder = project(base / f"sleep{jobs}", slots=jobs, matrices__m_yaml=matrix("sleep 2", jobs))
    costs = [run(OURS, folder) for _ in range(rounds)]
    walls = sorted(cost.wall for cost in costs)
    return f"| {jobs} x `sleep 2` | {median(walls):.2f} s (to {walls[-1]:.2f} s) | {median(walls) / 2:.2f} |"


def ends_to_verdicts(base: Path, jobs: int) -> str:
    """How long after the last command of a job pytest has its verdict; the jobs end one after the other."""
    names = ", ".join(
        f'r{number}: "sleep {1 + 0.3 * number:.1f}; date +%s.%N > r{number}.ended"' for number in range(jobs)
    )
    text = f"recipes: {{{names}}}\nnodes: [1]\nconditions: {{c: {{}}}}\n"
    folder = project(base / "ends", slots=jobs, matrices__m_yaml=text, conftest_py=STAMPS)
    run(OURS, folder)
    delays = []
    for ended in folder.glob("*.ended"):
        judged = ended.with_suffix(".judged")
        delays.append(1000 * (float(judged.read_text()) - float(ended.read_text())))
    assert len(delays) == jobs
    return f"{jobs} jobs: median {median(delays):.0f} ms, longest {max(delays):.0f} ms"


def true_jobs(base: Path, jobs: int, width: int, rounds: int) -> list[str]:
    """Jobs that do nothing, against a pool of processes of the same width."""
    folder = project(base / "true", slots=width, matrices__m_yaml=matrix("true", jobs))
    rows = []
    for name, command in [
        ("`true`", ["true"]),
        ("`bash -eo pipefail -c true`", ["bash", "-eo", "pipefail", "-c", "true"]),
    ]:
        (folder / "pool.py").write_text(POOL.format(command=command, width=width, jobs=jobs))
        ours, pool = in_turns(
            lambda: run(OURS, folder), lambda: run([sys.executable, "pool.py"], folder), rounds
        )
        rows.append(line(f"{jobs} jobs `true`, {width} at once / pool of {name}", ours, pool))
    return rows


def many_cells(base: Path, cells: int, rounds: int) -> list[str]:
    """Cells on a backend that does nothing, against the same number of parametrized Python tests."""
    axes = f"axes: {{A: [{', '.join(f'a{n}' for n in range(100))}], B: [{', '.join(f'b{n}' for n in range(cells // 100))}]}}\n"
    ours_at = project(base / "cells", matrices__m_yaml=matrix("true", 1, "noop") + axes)
    tests = f"import pytest\n@pytest.mark.parametrize('number', range({cells}))\ndef test_it(number): pass\n"
    peer_at = project(base / "tests", test_many_py=tests)
    rows = []
    for name, extra in [
        ("collect", ["--collect-only"]),
        ("run", []),
        ("run with JUnit XML", ["--junitxml=r.xml"]),
    ]:
        ours, peer = in_turns(
            lambda extra=extra: run([*OURS, *extra], ours_at),  # type: ignore[misc]
            lambda extra=extra: run([*PYTEST, *extra], peer_at),  # type: ignore[misc]
            rounds,
        )
        rows.append(line(f"{cells} cells, {name} / parametrized tests", ours, peer))
    return rows


def start_up(base: Path, rounds: int) -> str:
    """A project without matrices, with and without the plugin."""
    folder = project(base / "plain", test_one_py="def test_one(): pass\n")
    ours, peer = in_turns(lambda: run(OURS, folder), lambda: run(PYTEST, folder), rounds)

    def difference(figure: str) -> float:
        pairs = zip(ours, peer, strict=True)
        differences: list[float] = [getattr(a, figure) - getattr(b, figure) for a, b in pairs]
        return 1000 * median(differences)

    return f"{line('one Python test, with / without the plugin', ours, peer)}\n\nThe plugin costs {difference('wall'):.1f} ms wall, {difference('cpu'):.1f} ms CPU (medians of {rounds} differences)."


def main(rounds: int) -> None:
    """Print the results as Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("pytest", "pydantic", "pyyaml"))
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        print("# What it costs\n")
        print(
            f"`python -m benchmarks {rounds}`; Python {platform.python_version()}, {packages}, {rounds} rounds in turns,"
        )
        print(
            "medians. Each row is pytest-clusterjobs / peer = **ratio**, of whole processes and their children.\n"
        )
        print("## Wall time against the slowest job\n")
        print("| jobs | wall, start of Python to exit | ratio to 2 s |\n|---|---|---|")
        for jobs in (12, 100):
            print(sleeping_jobs(base, jobs, rounds), flush=True)
        print(f"\n## From the end of a local job to its verdict\n\n{ends_to_verdicts(base, 12)}", flush=True)
        head = "| what | wall | CPU | memory |\n|---|---|---|---|"
        print(f"\n## Jobs that do nothing, on the local backend\n\n{head}")
        print("\n".join(true_jobs(base, 1000, 32, max(1, rounds // 2))), flush=True)
        print(f"\n## Cells against plain tests\n\n{head}")
        print("\n".join(many_cells(base, 10_000, max(1, rounds // 2))), flush=True)
        print(f"\n## Start-up without a matrix\n\n{head}\n{start_up(base, 4 * rounds)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
