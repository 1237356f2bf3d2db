"""The task of a job, and its command line, run by bash as SkyPilot does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_clusterjobs.backends.sentinel import last_report
from pytest_clusterjobs.backends.sentinel import without_marks
from pytest_clusterjobs.backends.skypilot.observe import without_time_marks
from pytest_clusterjobs.backends.skypilot.settings import SkyPilotSettings
from pytest_clusterjobs.backends.skypilot.task import shown
from pytest_clusterjobs.backends.skypilot.task import task
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce

TOKEN = "cj-20260101t000000-abcdef-0123456789-a1"


def task_of(spec: JobSpec, rootdir: Path = Path("/project"), **settings: Any) -> dict[str, Any]:
    return task(spec, TOKEN, settings=SkyPilotSettings(**settings), rootdir=rootdir)


class Node:
    """A machine on which SkyPilot starts jobs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.exported: dict[str, str] = {}

    def start(self, spec: JobSpec, rank: int = 0, **settings: Any) -> tuple[int, str]:
        config = task_of(spec, **settings)
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
        time_marks = [line for line in done.stdout.splitlines() if " at=" in line]
        assert [line.split()[2] for line in time_marks] in (["began", "ended"], ["began"])
        return done.returncode, without_time_marks(done.stdout)


def printed(output: str) -> str:
    """The job's own output."""
    return without_marks(output, nonce(TOKEN))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_fields_of_a_cell_become_fields_of_the_task() -> None:
    spec = JobSpec(
        "true",
        nodes=2,
        env={"A": "1"},
        image="pytorch/pytorch:2.5",
        resources=Resources(cpus=16, memory=64 << 30, gpus=8),
        options={"resources": {"accelerators": "H100", "use_spot": True}, "workdir": "."},
    )
    config = task_of(
        spec, task={"resources": {"infra": "aws/us-east-1", "use_spot": False}, "workdir": "/else"}
    )
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


def test_restarts_use_the_current_cluster() -> None:
    spec = JobSpec("true", max_restarts=2)
    assert task_of(spec)["resources"]["job_recovery"] == {"strategy": "FAILOVER", "max_restarts_on_errors": 2}
    site = {"resources": {"job_recovery": "EAGER_NEXT_REGION"}}
    recovery = task_of(spec, task=site)["resources"]["job_recovery"]
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
def test_an_image_without_a_scheme_is_a_container_image(image: str, image_id: str) -> None:
    assert task_of(JobSpec("true", image=image))["resources"]["image_id"] == image_id


def test_paths_are_below_rootdir_and_urls_are_unchanged() -> None:
    options = {"file_mounts": {"/data": "s3://bucket/data", "/here": "data", "/x": {"name": "bucket"}}}
    mounts = task_of(JobSpec("true", options=options))["file_mounts"]
    assert mounts == {"/data": "s3://bucket/data", "/here": "/project/data", "/x": {"name": "bucket"}}


def test_the_variables_of_a_node(node: Node) -> None:
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


def test_an_invalid_path_variable_is_a_failed_start(node: Node) -> None:
    code, output = node.start(JobSpec("true", env={"PATH": "/no/such/folder"}, max_restarts=1))
    report = last_report(output, nonce(TOKEN))
    assert code == 127
    assert report is not None and report.word is SentinelWord.START_FAILED
    assert (report.note, report.begun) == ("no bash", False)


def test_all_ranks_count_a_restart(node: Node) -> None:
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


def test_a_job_counts_its_restarts(node: Node) -> None:
    spec = JobSpec('echo "start $CLUSTERJOBS_RESTARTS"; [ "$CLUSTERJOBS_RESTARTS" = 2 ]', max_restarts=2)
    starts = [node.start(spec) for _ in range(3)]
    assert [code for code, _ in starts] == [1, 1, 0]
    assert [printed(text).splitlines()[0] for _, text in starts] == ["start 0", "start 1", "start 2"]
    report = last_report(starts[2][1], nonce(TOKEN))
    assert report is not None and report.restarts == 2
    assert not list(node.home.glob(".clusterjobs/*"))


def test_a_job_does_not_restart_after_a_limit(node: Node) -> None:
    """SkyPilot starts it again, because it treats 124 as a failure. The script alone prevents that."""
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


def test_a_command_that_exits_with_124_restarts(node: Node) -> None:
    spec = JobSpec('[ "$CLUSTERJOBS_RESTARTS" = 1 ] || exit 124', max_restarts=1)
    assert [node.start(spec)[0] for _ in range(2)] == [124, 0]


@pytest.mark.parametrize("folder", ["~/state of 'things' $(x)", "/tmp/none/../../proc/nowhere"])
def test_any_state_dir_is_accepted(node: Node, folder: str) -> None:
    code, output = node.start(
        JobSpec('[ -d "${CLUSTERJOBS_HEARTBEAT_FILE%/*}" ] && echo fine'), state_dir=folder
    )
    lines = printed(output).splitlines()
    assert (code, lines[0 if folder.startswith("~") else -1]) == (0, "fine"), output


def test_arguments_are_passed_unchanged(node: Node) -> None:
    text = "a 'b' \"c\" $(touch owned) `touch owned` \\ \n ä {{x}} ${HOME}"
    code, output = node.start(JobSpec('printf "%s" "$1"', args=(text,)))
    assert code == 0
    assert printed(output).startswith(text)
    assert not (node.home / "owned").exists()


def test_exports_reach_the_command_and_not_the_sentinel(node: Node) -> None:
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
def test_options_of_the_caller_s_shell_have_no_effect(node: Node, options: str) -> None:
    """The sentinel's shell ignores them."""
    node.exported = {"SHELLOPTS": options}
    code, output = node.start(JobSpec("exit 3", shell="sh"))
    report = last_report(output, nonce(TOKEN), 0)
    assert code == 3 and report is not None and report.exit_code == 3


def test_variables_of_a_job_are_not_changed_by_the_prelude(node: Node) -> None:
    names = ["cj_some", "cj_home", "cj_line", "home", "n"]
    code, output = node.start(JobSpec("env", env={name: f"of-{name}" for name in names}, max_restarts=1))
    assert code == 0
    assert [name for name in names if f"{name}=of-{name}" not in output.splitlines()] == []


@pytest.mark.parametrize("restarts", [0, 1])
def test_only_the_time_mark_follows_the_report(node: Node, restarts: int) -> None:
    code, output = node.start(
        JobSpec(
            "setsid sh -c 'while :; do echo y; sleep 0.01; done' & sleep 0.3; exit 4", max_restarts=restarts
        )
    )
    assert code == 4
    report = last_report(output[-300:], nonce(TOKEN), 0)
    assert report is not None and (report.exit_code, report.begun) == (4, True)
