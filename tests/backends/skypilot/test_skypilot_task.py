"""The task that a job becomes, and its command line, run by bash as SkyPilot would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_clusterjobs.backends.sentinel import last_report
from pytest_clusterjobs.backends.sentinel import without_marks
from pytest_clusterjobs.backends.skypilot.observe import without_clocks
from pytest_clusterjobs.backends.skypilot.settings import SkyPilotSettings
from pytest_clusterjobs.backends.skypilot.task import shown
from pytest_clusterjobs.backends.skypilot.task import task
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce

TOKEN = "cj-20260101t000000-abcdef-0123456789-a1"


def made(spec: JobSpec, rootdir: Path = Path("/project"), **settings: Any) -> dict[str, Any]:
    return task(spec, TOKEN, settings=SkyPilotSettings(**settings), rootdir=rootdir)


class Node:
    """A machine on which SkyPilot starts a job, again and again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.exported: dict[str, str] = {}

    def start(self, spec: JobSpec, rank: int = 0, **settings: Any) -> tuple[int, str]:
        config = made(spec, **settings)
        environment = {
            "PATH": os.environ["PATH"],
            **config["envs"],
            **self.exported,
            "HOME": str(self.home),
            "SKYPILOT_NODE_RANK": str(rank),
            "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
        }
        done = subprocess.run(
            ["/bin/bash", "-c", config["run"]],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stderr == ""
        clocks = [line for line in done.stdout.splitlines() if " at=" in line]
        assert [line.split()[2] for line in clocks] in (["began", "ended"], ["began"])
        return done.returncode, without_clocks(done.stdout)


def printed(output: str) -> str:
    """What the job itself printed."""
    return without_marks(output, nonce(TOKEN))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_what_the_matrix_says_is_what_skypilot_is_asked_for() -> None:
    spec = JobSpec(
        "true",
        nodes=2,
        env={"A": "1"},
        image="pytorch/pytorch:2.5",
        resources=Resources(cpus=16, memory=64 << 30, gpus=8),
        options={"resources": {"accelerators": "H100", "use_spot": True}, "workdir": "."},
    )
    config = made(spec, task={"resources": {"infra": "aws/us-east-1", "use_spot": False}, "workdir": "/else"})
    assert config["name"] == TOKEN
    assert config["num_nodes"] == 2
    assert config["envs"]["A"] == "1"
    assert config["workdir"] == "/project"
    assert config["resources"] == {
        "infra": "aws/us-east-1",
        "use_spot": True,
        "accelerators": "H100:8",
        "cpus": "16+",
        "memory": "64+",
        "image_id": "docker:pytorch/pytorch:2.5",
        "job_recovery": {"max_restarts_on_errors": 0},
    }
    assert yaml.safe_load(shown(config)) == config
    assert "run: |-\n  exec /bin/bash -p -c " in shown(config)


def test_restarts_are_asked_for_on_the_cluster_that_is_there() -> None:
    spec = JobSpec("true", max_restarts=2)
    assert made(spec)["resources"]["job_recovery"] == {"strategy": "FAILOVER", "max_restarts_on_errors": 2}
    site = {"resources": {"job_recovery": "EAGER_NEXT_REGION"}}
    recovery = made(spec, task=site)["resources"]["job_recovery"]
    assert recovery == {"strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": 2}


@pytest.mark.parametrize(
    ("image", "image_id"),
    [
        ("docker:a/b", "docker:a/b"),
        ("a/b:1", "docker:a/b:1"),
        ("host.io:5000/a", "host.io:5000/a"),
        ("a", "docker:a"),
    ],
)
def test_an_image_is_a_container_unless_it_says_otherwise(image: str, image_id: str) -> None:
    assert made(JobSpec("true", image=image))["resources"]["image_id"] == image_id


def test_paths_are_below_rootdir_and_urls_are_left_alone() -> None:
    options = {"file_mounts": {"/data": "s3://bucket/data", "/here": "data", "/x": {"name": "bucket"}}}
    mounts = made(JobSpec("true", options=options))["file_mounts"]
    assert mounts == {"/data": "s3://bucket/data", "/here": "/project/data", "/x": {"name": "bucket"}}


def test_a_node_tells_its_place(node: Node) -> None:
    run = (
        'echo "$CLUSTERJOBS_NODE_RANK/$CLUSTERJOBS_NUM_NODES $CLUSTERJOBS_MASTER_ADDR $CLUSTERJOBS_RESTARTS";'
        'cat "$CLUSTERJOBS_HOSTFILE"; touch "$CLUSTERJOBS_HEARTBEAT_FILE"'
    )
    code, output = node.start(JobSpec(run, nodes=2), rank=1)
    assert code == 0
    assert printed(output).startswith("1/2 10.0.0.1 0\n10.0.0.1\n10.0.0.2\n")
    report = last_report(output, nonce(TOKEN), 1)
    assert report is not None and (report.word, report.node, report.begun) == (SentinelWord.EXITED, 1, True)
    assert not list(node.home.glob(".clusterjobs/*"))


def test_a_path_that_leads_nowhere_is_a_failed_start(node: Node) -> None:
    code, output = node.start(JobSpec("true", env={"PATH": "/no/such/folder"}, max_restarts=1))
    report = last_report(output, nonce(TOKEN))
    assert code == 127
    assert report is not None and report.word is SentinelWord.START_FAILED
    assert (report.note, report.begun) == ("no bash", False)


def test_a_rank_that_was_done_before_another_failed_knows_that_it_begins_again(node: Node) -> None:
    run = 'echo "start $CLUSTERJOBS_RESTARTS"; [ "$CLUSTERJOBS_NODE_RANK.$CLUSTERJOBS_RESTARTS" != 1.0 ]'
    spec = JobSpec(run, nodes=2, max_restarts=1)
    starts = [node.start(spec, rank) for _ in range(2) for rank in range(2)]
    assert [code for code, _ in starts] == [0, 1, 0, 0]
    assert [printed(text).splitlines()[0] for _, text in starts] == [
        "start 0",
        "start 0",
        "start 1",
        "start 1",
    ]
    assert [path.name for path in node.home.glob(".clusterjobs/*/*")] == ["starts", "starts"]


def test_a_job_knows_how_often_it_began(node: Node) -> None:
    spec = JobSpec('echo "start $CLUSTERJOBS_RESTARTS"; [ "$CLUSTERJOBS_RESTARTS" = 2 ]', max_restarts=2)
    starts = [node.start(spec) for _ in range(3)]
    assert [code for code, _ in starts] == [1, 1, 0]
    assert [printed(text).splitlines()[0] for _, text in starts] == ["start 0", "start 1", "start 2"]
    report = last_report(starts[2][1], nonce(TOKEN))
    assert report is not None and report.restarts == 2
    assert not list(node.home.glob(".clusterjobs/*"))


def test_what_ran_into_a_limit_does_not_begin_again(node: Node) -> None:
    """SkyPilot starts it again, since 124 is a failure to it; nobody need be there to say no."""
    spec = JobSpec(
        "touch ran-$CLUSTERJOBS_RESTARTS; sleep 60", max_restarts=2, max_runtime=0.5, grace_period=1.0
    )
    code, first = node.start(spec)
    assert code == 124
    again = [node.start(spec) for _ in range(2)]
    assert [code for code, _ in again] == [124, 124]
    reports = [last_report(text, nonce(TOKEN)) for text in (first, *(text for _, text in again))]
    assert {report.word for report in reports if report} == {SentinelWord.MAX_RUNTIME_REACHED}
    assert [path.name for path in node.home.glob("ran-*")] == ["ran-0"]
    assert len(set(reports)) == 1 and reports[0] is not None and reports[0].begun and reports[0].seconds


def test_a_command_that_itself_ends_with_124_is_no_limit(node: Node) -> None:
    spec = JobSpec('[ "$CLUSTERJOBS_RESTARTS" = 1 ] || exit 124', max_restarts=1)
    assert [node.start(spec)[0] for _ in range(2)] == [124, 0]


@pytest.mark.parametrize("folder", ["~/state of 'things' $(x)", "/tmp/none/../../proc/nowhere"])
def test_any_folder_for_what_outlives_a_start(node: Node, folder: str) -> None:
    code, output = node.start(
        JobSpec('[ -d "${CLUSTERJOBS_HEARTBEAT_FILE%/*}" ] && echo fine'), state_dir=folder
    )
    lines = printed(output).splitlines()
    assert (code, lines[0 if folder.startswith("~") else -1]) == (0, "fine"), output


def test_hostile_text_arrives_as_it_is(node: Node) -> None:
    text = "a 'b' \"c\" $(touch owned) `touch owned` \\ \n ä {{x}} ${HOME}"
    code, output = node.start(JobSpec('printf "%s" "$1"', args=(text,)))
    assert code == 0
    assert printed(output).startswith(text)
    assert not (node.home / "owned").exists()


def test_what_was_exported_reaches_the_command_and_nothing_of_it_the_sentinel(node: Node) -> None:
    node.exported = {
        "BASH_FUNC_hello%%": "() { echo hello; }",
        "BASH_FUNC_sleep%%": "() { echo not ours; }",
        "a-b": "c",
        "home": "kept",
    }
    code, output = node.start(JobSpec("hello; env; command sleep 0.1", max_restarts=1))
    lines = printed(output).splitlines()
    assert code == 0 and lines[0] == "hello"
    assert {"a-b=c", "home=kept"} <= set(lines) and "not ours" not in lines


@pytest.mark.parametrize("options", ["errexit:noglob", "posix"])
def test_options_of_the_caller_s_shell_change_nothing(node: Node, options: str) -> None:
    """The sentinel's shell does not heed them."""
    node.exported = {"SHELLOPTS": options}
    code, output = node.start(JobSpec("exit 3", shell="sh"))
    report = last_report(output, nonce(TOKEN), 0)
    assert code == 3 and report is not None and report.exit_code == 3


def test_no_variable_of_a_job_is_the_prelude_s(node: Node) -> None:
    names = ["cj_some", "cj_home", "cj_line", "home", "n"]
    code, output = node.start(JobSpec("env", env={name: f"of-{name}" for name in names}, max_restarts=1))
    assert code == 0
    assert [name for name in names if f"{name}=of-{name}" not in output.splitlines()] == []


@pytest.mark.parametrize("restarts", [0, 1])
def test_the_last_line_is_the_last_of_what_the_sentinel_says_and_times_follow(
    node: Node, restarts: int
) -> None:
    code, output = node.start(
        JobSpec(
            "setsid sh -c 'while :; do echo y; sleep 0.01; done' & sleep 0.3; exit 4", max_restarts=restarts
        )
    )
    assert code == 4
    report = last_report(output[-300:], nonce(TOKEN), 0)
    assert report is not None and (report.exit_code, report.begun) == (4, True)
