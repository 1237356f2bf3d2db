"""The table at the end of a session, and the tally under it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import COMMAND
from tests.plugin.screens import Terminal

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

PLAIN = ["-p", "no:sugar"]


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        (200, []),
        (80, ["restarts"]),
        (60, ["restarts", "queue", "run"]),
        (40, ["restarts", "queue", "run", "job", "exit"]),
    ],
    ids=str,
)
def test_it_fits_the_terminal(project: Project, columns: int, missing: list[str]) -> None:
    project.ini()
    project.matrix(
        "{recipes: {arena: 'exit ${C:-0}'}, nodes: [1], conditions: {normal: {}, other: {env: {C: 3}}}}"
    )
    session = Terminal(columns).run(project.path, *PLAIN)
    begin = next(number for number, row in enumerate(session.final) if " cluster jobs " in row)
    head, one, two, run = session.final[begin + 1 : begin + 5]
    names = ["job", "recipe", "nodes", "condition", "status", "reason", "exit", "restarts", "queue", "run"]
    assert " ".join(name for name in names if name not in missing).startswith(" ".join(head.split()))
    assert "passed" in one and "failed" in two
    assert run.startswith("run 2")


def test_only_words_have_colours(project: Project) -> None:
    project.ini()
    project.matrix(
        """
        recipes: {a: "sleep 30"}
        nodes: [1]
        conditions: {limit: {max_runtime: 1s, expect: {reason: max_runtime_reached}}, bad: {run: exit 3}}
        """
    )
    session = Terminal(200).run(project.path, *PLAIN)
    assert re.search(
        rb"\n\w+ +a +1 +limit +\x1b\[32mpassed\x1b\[0m +\x1b\[33mmax_runtime_reached\x1b\[0m", session.data
    )
    assert re.search(rb"\n\w+ +a +1 +bad +\x1b\[31mfailed\x1b\[0m +job_failed +3", session.data)


def test_of_many_cells_it_has_what_did_not_pass(project: Project) -> None:
    conditions = ", ".join(
        f"c{number}: {{{'run: exit 3' if number in (20, 40) else ''}}}" for number in range(60)
    )
    project.matrix(f"{{recipes: {{a: 'true'}}, nodes: [1], conditions: {{{conditions}}}}}")
    result = project.run()
    rows = [line for line in result.outlines if re.match(r"\S+ +a +1 +c\d+ ", line)]
    assert [row.split()[3] for row in rows] == ["c20", "c40"]
    result.stdout.fnmatch_lines(["... and 58 more", "run *: 58 passed, 2 failed"])


def test_a_large_run_that_passes_has_no_rows(project: Project) -> None:
    conditions = ", ".join(f"c{number}: {{}}" for number in range(60))
    project.matrix(f"{{recipes: {{a: 'true'}}, nodes: [1], conditions: {{{conditions}}}}}")
    project.run().stdout.fnmatch_lines(["=* cluster jobs *=", "... and 60 more", "run *: 60 passed"])


def test_the_tally_has_the_words_of_the_table_and_of_pytest(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions:
          good: {}
          bad: {run: exit 3}
          known: {run: exit 3, marks: [{xfail: {reason: known}}]}
          mended: {marks: [{xfail: {reason: known}}]}
          infra: {run: "hint node_failed"}
          infra2: {run: "hint node_failed"}
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, failed=1, xfailed=1, xpassed=1, errors=2)
    result.stdout.fnmatch_lines(["run *: 1 passed, 1 failed, 2 errors, 1 xfailed, 1 xpassed"])
    summary = project.report()["summary"]
    assert (summary["passed"], summary["failed"]) == (3, 1)


@pytest.mark.parametrize("arguments", [[], ["--cluster-order=file"], ["-v"], ["--cluster-launch"]], ids=str)
def test_it_has_no_empty_lines(project: Project, arguments: list[str]) -> None:
    project.matrix("{recipes: {a: 'true'}, nodes: [1], conditions: {c: {}, d: {}}}")
    lines = project.run(*arguments).outlines
    begin = next(number for number, line in enumerate(lines) if " cluster jobs " in line)
    end = next(number for number, line in enumerate(lines) if line.startswith("run "))
    assert end - begin == 4
    assert all(lines[begin:end])


@pytest.mark.quiet
def test_a_pending_cell_has_its_job_and_what_that_does(project: Project) -> None:
    project.ini()
    (project.path / "pyproject.toml").write_text("[tool.clusterjobs.backends.local]\nslots = 1\n")
    project.matrix('{recipes: {a: "sleep 300"}, nodes: [1], conditions: {one: {}, two: {}}}')
    try:
        for arguments in (["--cluster-launch"], ["--cluster-check"]):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments],
                check=False,
                cwd=project.path,
                capture_output=True,
                text=True,
                timeout=120,
            )
            one, two = re.findall(r"^(?=\S+ +a +1 ).*$", done.stdout, re.MULTILINE)
            jobs = one.split()[0], two.split()[0]
            assert jobs[0] != "-" and jobs[1] != "-" and jobs[0] != jobs[1]
            # They are submitted at once: either may get the slot.
            running, queued = sorted((one, two), key=lambda line: "running" not in line)
            assert "pending, job running" in running
            assert re.search(r"pending, job queued +waiting for slots", queued)
    finally:
        subprocess.run([*COMMAND, "kill"], check=False, cwd=project.path, capture_output=True)
