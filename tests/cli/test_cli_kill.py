"""kill, watch, sweep and gc: every live job of a run is found, and every reported end is real."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import COMMAND
from tests.cli.conftest import environment
from tests.cli.conftest import lives
from tests.cli.conftest import SLEEPERS
from tests.cli.conftest import until

if TYPE_CHECKING:
    from tests.cli.conftest import Place


def states(place: Place) -> dict[str, str | None]:
    """The verdict of each cell of SLEEPERS."""
    return {cell["key"].rpartition("-")[2]: cell["verdict"] for cell in place.read("show", "*")}


def test_kill_waits_until_every_process_is_gone(launched: Place) -> None:
    pids = launched.sleepers()
    done = launched.command("kill")
    assert not any(map(lives, pids))
    assert done.returncode == 0
    assert "2 ended, none survived" in done.stdout
    assert states(launched) == {"one": "not run", "two": "not run"}
    assert "no live jobs" in launched.command("kill").stdout


def test_a_kill_that_cannot_be_recorded_is_reported(launched: Place, require: Callable[[str], str]) -> None:
    launched.folder.chmod(0o555)
    (launched.folder / "ledger.sqlite").chmod(0o444)
    # Permissions mean something to root only without this capability.
    as_user = (require("setpriv"), "--bounding-set=-dac_override,-dac_read_search")
    done = launched.command("kill", prefix=as_user)
    launched.folder.chmod(0o755)
    assert "2 ended, none survived" in done.stdout
    assert "could not be recorded" in done.stdout and "no permission to write" in done.stdout


def test_kill_of_one_cell_leaves_the_others(launched: Place) -> None:
    found = launched.read("kill", "--cell", "*-one")
    assert [(job["key"], job["state"]) for job in found["jobs"]] == [("matrices/m.yaml::s-1n-one", "ended")]
    assert states(launched) == {"one": "not run", "two": None}
    assert sum(map(lives, launched.sleepers())) == 1


def test_a_check_judges_what_had_ended_before_a_kill(place: Place) -> None:
    place.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    place.pytest("--cluster-launch")
    place.command("watch")
    assert place.command("kill").returncode == 0
    assert place.pytest("--cluster-check") == 0


def test_a_live_session_is_interrupted(place: Place) -> None:
    place.matrix(SLEEPERS)
    process = place.start()
    until(place.asleep)
    assert place.read("runs")[0]["state"] == "running"
    done = place.command("kill")
    assert done.returncode == 0, done.stderr
    process.communicate(timeout=10)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert not any(map(lives, place.sleepers()))
    assert states(place) == {"one": "not run", "two": "not run"}


def test_a_live_session_reports_killed_cells_as_not_run(place: Place) -> None:
    # Not even if a cancelled job is what was expected: the cluster has not cancelled it.
    expected = "conditions: {one: {expect: {reason: cancelled}}, two: {expect: {reason: cancelled}}}"
    place.matrix(SLEEPERS.replace("conditions: {one: {}, two: {}}", expected))
    process = place.start()
    until(place.asleep)
    for cell in ("*-one", "*-two"):
        assert place.read("kill", "--cell", cell)["survived"] == 0
    process.communicate(timeout=60)
    assert states(place) == {"one": "not run", "two": "not run"}
    assert process.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_killed_job_of_a_python_test_fails_the_session(place: Place) -> None:
    run = "echo $$ > pid-1; exec sleep 300"
    (place.path / "test_job.py").write_text(f"def test_it(clusterjobs):\n    clusterjobs.run({run!r})\n")
    process = place.start()
    until(lambda: bool(place.sleepers()))
    assert place.read("kill", "--cell", "*")["survived"] == 0
    process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_session_that_died_leaves_jobs_that_kill_finds(place: Place) -> None:
    place.matrix(SLEEPERS)
    process = place.start("--cluster-on-crash=keep")
    until(place.asleep)
    process.kill()
    process.communicate()
    assert place.read("runs")[0]["state"] == "session died"
    assert place.command("kill").returncode == 0
    assert not any(map(lives, place.sleepers()))


def test_a_job_that_does_not_end_in_time_is_reported_as_survived(place: Place) -> None:
    place.matrix(
        """
        recipes: {s: "trap '' TERM; echo $$ > pid-1; echo $$ > pid-2; while :; do sleep 0.1; done"}
        nodes: [1]
        conditions: {c: {grace_period: 3s}}
        """
    )
    place.pytest("--cluster-launch")
    until(place.asleep)
    done = place.command("kill", "--timeout", "0.5")
    assert done.returncode == 1
    assert "0 ended, 1 survived" in done.stdout
    assert place.command("kill").returncode == 0


def delete_rows(place: Place, table: str) -> None:
    with closing(sqlite3.connect(place.folder / "ledger.sqlite")) as db:
        db.execute(f"DELETE FROM {table}")
        db.commit()


def test_a_job_that_is_not_in_the_ledger_is_killed_too(launched: Place) -> None:
    for table in ("attempts", "submissions", "observations"):
        delete_rows(launched, table)
    found = launched.read("kill")
    assert [(job["key"], job["state"]) for job in found["jobs"]] == [(None, "ended")] * 2
    assert not any(map(lives, launched.sleepers()))


def test_a_submission_that_was_never_recorded_is_looked_for(launched: Place) -> None:
    delete_rows(launched, "submissions")
    assert launched.read("kill")["survived"] == 0
    assert not any(map(lives, launched.sleepers()))


def test_sweep_leaves_jobs_that_their_run_waits_for(launched: Place) -> None:
    done = launched.command("sweep")
    assert (done.returncode, done.stdout) == (0, "no stray jobs\n")


def test_sweep_finds_and_cancels_jobs_that_are_not_in_the_ledger(launched: Place) -> None:
    for table in ("attempts", "submissions", "observations"):
        delete_rows(launched, table)
    done = launched.command("sweep")
    assert done.returncode == 1
    assert done.stdout.count("it is not in the ledger") == 2
    assert launched.command("sweep", "--kill").returncode == 0
    assert not any(map(lives, launched.sleepers()))
    assert launched.command("sweep").returncode == 0


def test_watch_follows_a_launched_run_to_its_end(place: Place) -> None:
    place.matrix('{recipes: {a: "while [ ! -e go ]; do sleep 0.05; done"}, nodes: [1], conditions: {c: {}}}')
    place.pytest("--cluster-launch")
    watcher = subprocess.Popen(
        [*COMMAND, "watch"], cwd=place.path, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    assert watcher.stdout.readline().split()[2:4] == ["matrices/m.yaml::a-1n-c", "running"]
    (place.path / "go").touch()
    rest, _ = watcher.communicate(timeout=30)
    assert rest.splitlines()[0].split()[2:4] == ["matrices/m.yaml::a-1n-c", "ended"]
    # It has ended, but has not been judged.
    assert rest.splitlines()[-2].endswith(": 1 not judged")
    assert rest.splitlines()[-1].startswith("all jobs have ended, 1 is not judged yet; judge with: ")
    assert watcher.returncode == 1


def test_watch_follows_a_session_to_its_verdicts(place: Place) -> None:
    place.matrix('{recipes: {a: "sleep 1"}, nodes: [1], conditions: {c: {}}}')
    process = place.start()
    until(lambda: bool(list(place.path.glob(".clusterjobs/runs/*/local/journal.jsonl"))))
    done = place.command("watch")
    process.communicate()
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith("1 passed")


def test_watch_rewrites_a_table_on_a_terminal(ended: Place) -> None:
    done = subprocess.run(
        ["script", "-qec", f"{shlex.join(COMMAND)} watch", "/dev/null"],
        check=False,
        cwd=ended.path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "cell" in done.stdout.splitlines()[0]
    assert "2 passed, 2 failed, 2 errors, 2 xfailed" in done.stdout


def test_gc_keeps_runs_with_live_jobs(launched: Place) -> None:
    launched.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    first = launched.folder.name
    launched.pytest()
    second = launched.folder.name
    done = launched.command("gc", "--keep", "0")
    assert done.returncode == 0
    assert "1 run would be removed; remove them with: " in done.stdout
    assert launched.folder.name == second
    found = {about["run"]: about for about in launched.read("gc", "--keep", "0", "--yes")}
    assert found[first]["kept"] == "kept: 2 live jobs on local"
    assert found[second]["removed"], found
    assert launched.folder.name == first
    launched.command("kill")
    launched.command("gc", "--keep", "0", "--yes")
    assert launched.command("runs").returncode == 4


def test_gc_keeps_a_run_whose_session_lives(place: Place) -> None:
    place.matrix(SLEEPERS)
    process = place.start()
    until(place.asleep)
    (about,) = place.read("gc", "--keep", "0", "--yes")
    assert about["kept"] == "kept: running"
    process.terminate()
    process.communicate()


def test_gc_keeps_young_runs_and_the_latest(ended: Place) -> None:
    assert ended.read("gc", "--older-than", "1d") == []
    assert ended.read("gc") == []
    assert ended.command("gc", "--older-than", "soon").returncode == 2
