"""Output of ``clusterjobs`` cannot control a terminal, wherever its text comes from."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from tests.cli.conftest import until
from tests.plugin.test_untrusted_text import steers

if TYPE_CHECKING:
    from tests.cli.conftest import Place

EVIL = "2\x1b[2J\x9b31m\u202e"
"""The name of a run's folder, and what its ledger calls it."""


def test_names_of_runs_matrices_and_cells_cannot_control_a_terminal(place: Place) -> None:
    place.matrix('{recipes: {a: "exit 1"}, nodes: [1], conditions: {c: {}}}', "matrices/m\x1b[2J\x9b.yaml")
    place.pytest()
    evil = place.folder.rename(place.folder.with_name(EVIL))
    with closing(sqlite3.connect(evil / "ledger.sqlite")) as db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'run_id'", (json.dumps(EVIL),))
        db.execute("UPDATE meta SET value = ? WHERE name = 'started'", (json.dumps(1.0),))
        db.commit()
    every = (
        ["runs"],
        ["runs", "--json"],
        ["show", "a-1n-c"],
        ["show", "a-1n-c", "--json"],
        ["show", "nothing"],
        ["report"],
        ["report", "--json", "x\x1b[2J.json"],
        ["report", "--junit", "none"],
        ["rejudge"],
        ["watch"],
        ["kill"],
        ["sweep"],
        ["gc", "--keep", "0"],
        ["report", "nothing"],
        ["validate", "matrices"],
        ["plan"],
    )
    for arguments in every:
        done = place.command(*arguments)
        assert done.returncode in (0, 1, 4), done.stderr
        assert not steers(done.stdout + done.stderr), arguments
    (evil / "ledger.sqlite").write_text("text, not a ledger")
    for arguments in (["runs"], ["show", "x"], ["sweep"], ["gc", "--keep", "0"]):
        done = place.command(*arguments)
        assert not steers(done.stdout + done.stderr), arguments
        assert "file is not a database" in done.stdout + done.stderr


def test_a_pending_job_has_no_log_and_a_running_one_is_shown_as_running(place: Place) -> None:
    (place.path / "pyproject.toml").write_text("[tool.clusterjobs.backends.local]\nslots = 1\n")
    place.matrix(
        '{recipes: {a: "echo $$ > pid-$CLUSTERJOBS_CELL; sleep 300"}, nodes: [1], conditions: {one: {}, two: {}}}'
    )
    assert place.pytest("--cluster-launch") == 0
    until(lambda: bool(list(place.path.glob("pid-*"))))
    place.pytest("--cluster-check")
    (runs,) = (path.name.removeprefix("pid-") for path in place.path.glob("pid-*"))
    waits = "a-1n-two" if runs == "a-1n-one" else "a-1n-one"
    done = place.command("logs", waits)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "clusterjobs: no log yet: the job is pending (waiting for slots)\n"
    text = place.command("show", runs).stdout
    assert "rank 0   running on localhost" in text and "no report" not in text


def test_a_job_of_a_python_test_is_shown_with_its_test(place: Place) -> None:
    (place.path / "test_py.py").write_text(
        "def test_it(clusterjobs):\n    clusterjobs.submit('exit 3', name='mine').wait()\n"
    )
    assert place.pytest("test_py.py") == 0
    text = place.command("show", "mine").stdout
    assert "expected  anything (the test judges)" in text
    assert "test      test_py.py:" in text
    assert "matrix" not in text
