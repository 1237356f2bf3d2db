"""runs, show and logs: what they print of runs, for terminals and programs."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import COMMAND
from tests.cli.conftest import environment

if TYPE_CHECKING:
    from tests.cli.conftest import Place


def test_runs_lists_the_counts_by_verdict(ended: Place) -> None:
    done = ended.command("runs")
    header, line = done.stdout.splitlines()
    assert header.split() == ["run", "started", "state", "cells", "verdicts"]
    assert re.fullmatch(r"\d{8}t\d{6}-\w{6}  \S+ \S+  ended  8      4 passed, 2 failed, 2 errors", line)
    (about,) = ended.read("runs")
    assert about["run"] == ended.folder.name
    assert about["summary"]["failed"] == 2


def test_the_project_is_found_from_a_folder_inside_it(ended: Place) -> None:
    assert ended.folder.name in ended.command("runs", cwd=ended.path / "matrices").stdout


def test_the_project_can_be_named(ended: Place, place: Place) -> None:
    assert ended.folder.name in place.command("--rootdir", str(ended.path), "runs").stdout


def test_show_prints_attempts_with_their_sources_and_timeline(ended: Place) -> None:
    text = ended.command("show", "a-2n-bad").stdout
    assert text.startswith("matrices/m.yaml::a-2n-bad  failed\n")
    for line in (
        r"matrix +matrices/m.yaml:7",
        r"expected +job_completed, exit code 0",
        r"unmet +reason: expected job_completed, got job_failed",
        r"attempt 1  job \d  cj-\S+-a1",
        r"outcome +job_failed \(source: sentinel\), exit code 7, 0 restarts, 0 heartbeats",
        r"failed first +rank 1",
        r"rank 1 +exited on localhost, code 7, log /\S+\.1\.0\.log",
        r"\S+ \S+  submitting",
        r'\S+ \S+  ended, reported by the cluster: "ENDED"',
    ):
        assert re.search(rf"^ +{line}", text, re.MULTILINE), line


def test_show_as_json_has_each_attempt_with_its_history(ended: Place) -> None:
    (cell,) = ended.read("show", "matrices/m.yaml::a-1n-infra")
    assert (cell["verdict"], cell["result"]["outcome"]["reason"]) == ("error", "start_failed")
    (attempt,) = cell["attempts"]
    assert attempt["outcome"]["source"] == "sentinel"
    assert all(seen["observation"]["phase"] != "ended" for seen in attempt["history"])


@pytest.mark.parametrize(
    ("pattern", "count"), [("a-1n-bad", 1), ("matrices/m.yaml::a-1n-bad", 1), ("*-bad", 2), ("1n", 4)]
)
def test_a_cell_is_named_by_id_node_id_glob_or_part(ended: Place, pattern: str, count: int) -> None:
    assert len(ended.read("show", pattern)) == count


def test_logs_are_those_of_the_rank_that_failed_first(ended: Place) -> None:
    assert ended.command("logs", "a-2n-bad").stdout.partition("]\n")[2].startswith("oh\n")
    assert "exit_code=7 node=1" in ended.command("logs", "a-2n-bad").stdout
    assert "node=0" in ended.command("logs", "a-2n-bad", "--node", "0").stdout


def test_logs_cannot_control_a_terminal_unless_raw(ended: Place) -> None:
    text = ended.command("logs", "a-1n-good").stdout
    assert text.partition("]\n")[2].startswith("rank 0 says hello\nred \\x07\n")
    assert (
        ended.command("logs", "a-1n-good", "--raw")
        .stdout.partition("]\n")[2]
        .startswith("rank 0 says hello\n\x1b[31mred")
    )


def test_the_tail_is_the_end_of_a_log(ended: Place) -> None:
    assert ended.command("logs", "a-1n-good", "--tail", "13").stdout[-2:] == "]\n"


def test_logs_as_json_tell_whether_they_are_complete(ended: Place) -> None:
    piece = ended.read("logs", "a-1n-good")
    assert piece["complete"] is True
    assert piece["text"].partition("]\n")[2].startswith("rank 0 says hello\n\x1b[31m")


def test_following_a_log_ends_with_the_job(place: Place) -> None:
    place.matrix(
        """
        recipes: {a: "echo begin; while [ ! -e go ]; do sleep 0.05; done; echo end"}
        nodes: [1]
        conditions: {c: {}}
        """
    )
    assert place.pytest("--cluster-launch") == 0
    follower = subprocess.Popen(
        [*COMMAND, "logs", "-f", "a-1n-c"],
        cwd=place.path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert " begun node=0 " in follower.stdout.readline()
    assert follower.stdout.readline() == "begin\n"
    (place.path / "go").touch()
    rest, _ = follower.communicate(timeout=30)
    assert rest.startswith("end\n")
    assert follower.returncode == 0


def test_a_reader_that_closes_early_is_not_an_error(ended: Place) -> None:
    done = subprocess.run(
        f"{shlex.join(COMMAND)} show 'a-*' | head -n 1",
        shell=True,
        check=False,
        cwd=ended.path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_colours_are_for_terminals_that_want_them(ended: Place) -> None:
    def on_a_terminal(**variables: str) -> str:
        prefix = ("script", "-qec", f"{shlex.join(COMMAND)} runs", "/dev/null")
        done = subprocess.run(
            prefix,
            check=False,
            cwd=ended.path,
            env={**environment(), **variables},
            capture_output=True,
            text=True,
        )
        return done.stdout

    assert "\x1b[" not in ended.command("runs").stdout
    assert "\x1b[35m" in on_a_terminal()
    assert "\x1b[" not in on_a_terminal(NO_COLOR="1")


def test_a_shell_can_complete_runs_and_cells(ended: Place) -> None:
    def completed(words: str) -> list[str]:
        done = ended.command(
            _CLUSTERJOBS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("clusterjobs show a-2n-b") == ["a-2n-bad"]
    assert completed("clusterjobs report 2") == [ended.folder.name]
