"""The request for a job, and the variables that the job sees on its node."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pytest_clusterjobs.backends.aws_batch.request import overrides
from pytest_clusterjobs.backends.aws_batch.request import request
from pytest_clusterjobs.backends.aws_batch.request import size
from pytest_clusterjobs.backends.aws_batch.settings import AwsBatchSettings
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources

TOKEN = "cj-20260101t000000-abcdef-0123456789-a2"
SITE = {"queue": "q", "job_definition": "jd", "multinode_job_definition": "mn"}


def request_of(
    spec: JobSpec, *, targets: tuple[str, ...] = ("0:",), definition: str = "", **site: Any
) -> dict[str, Any]:
    return request(
        spec,
        TOKEN,
        settings=AwsBatchSettings(**{**SITE, **site}),
        targets=targets,
        definition=definition,
    )


def environment(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in overrides(arguments)["environment"]}


def test_the_request_of_a_plain_job() -> None:
    found = request_of(
        JobSpec("true", name="arena-1n-ok", recipe="arena", condition="ok", max_runtime=100, grace_period=5)
    )
    assert found["jobName"] == TOKEN
    assert (found["jobQueue"], found["jobDefinition"]) == ("q", "jd")
    assert found["retryStrategy"] == {"attempts": 1}
    assert found["timeout"] == {"attemptDurationSeconds": 165}
    assert found["tags"] == {
        "clusterjobs-run": "20260101t000000-abcdef",
        "clusterjobs-token": TOKEN,
        "clusterjobs-cell": "arena-1n-ok",
    }
    assert found["propagateTags"] is True
    assert (
        found.keys() & {"shareIdentifier", "schedulingPriorityOverride", "dependsOn", "nodeOverrides"}
        == set()
    )
    variables = environment(found)
    assert variables["CLUSTERJOBS_CELL"] == "arena-1n-ok"
    assert variables["CLUSTERJOBS_ATTEMPT"] == "2"
    assert "resourceRequirements" not in overrides(found)


def test_resources_are_in_the_service_s_units() -> None:
    found = request_of(JobSpec("true", resources=Resources(gpus=8, cpus=96, memory=(3 << 30) + 1)))
    assert overrides(found)["resourceRequirements"] == [
        {"type": "VCPU", "value": "96"},
        {"type": "MEMORY", "value": "3073"},
        {"type": "GPU", "value": "8"},
    ]
    assert "resourceRequirements" not in overrides(request_of(JobSpec("true", resources=Resources(gpus=0))))


def test_the_time_limit_is_never_below_the_service_s_minimum() -> None:
    assert (
        request_of(JobSpec("true", max_runtime=0.5, grace_period=0))["timeout"]["attemptDurationSeconds"]
        == 61
    )


def test_a_limit_or_a_failed_start_prevents_a_restart() -> None:
    found = request_of(JobSpec("true", max_restarts=3))["retryStrategy"]
    assert found["attempts"] == 4
    rules = found["evaluateOnExit"]
    assert rules[:1] == [{"onExitCode": "124", "action": "EXIT"}]
    assert len(rules) <= 5 and {rule["action"] for rule in rules} == {"EXIT"}
    # The service allows a wildcard only at the end of a condition.
    texts = [text for rule in rules for key, text in rule.items() if key != "action"]
    assert all(re.fullmatch(r"[A-Za-z0-9.:()\s]*\*?", text) for text in texts)


def test_options_take_precedence_over_site_settings() -> None:
    site: dict[str, Any] = {
        "share_identifier": "team",
        "scheduling_priority": 5,
        "tags": {"cost": "a", "site": "x"},
        "propagate_tags": False,
    }
    found = request_of(JobSpec("true"), **site)
    assert (found["shareIdentifier"], found["schedulingPriorityOverride"]) == ("team", 5)
    assert found["propagateTags"] is False
    options: dict[str, Any] = {
        "jobQueue": "other",
        "jobDefinition": "mine:3",
        "shareIdentifier": "me",
        "schedulingPriorityOverride": 9,
        "tags": {"cost": "b", "clusterjobs-run": "forged"},
        "propagateTags": True,
        "dependsOn": [{"jobId": "a"}],
        "parameters": {"x": "y"},
        "containerOverrides": {"instanceType": "m5.large"},
        "consumableResourcePropertiesOverride": {"consumableResourceList": []},
    }
    found = request_of(JobSpec("true", options=options), **site)
    for name in (
        "jobQueue",
        "jobDefinition",
        "shareIdentifier",
        "schedulingPriorityOverride",
        "dependsOn",
        "parameters",
    ):
        assert found[name] == options[name]
    assert found["propagateTags"] is True
    assert found["tags"]["cost"] == "b" and found["tags"]["site"] == "x"
    assert found["tags"]["clusterjobs-run"] == "20260101t000000-abcdef"
    assert overrides(found)["instanceType"] == "m5.large"
    assert found["consumableResourcePropertiesOverride"] == {"consumableResourceList": []}
    assert (
        request_of(JobSpec("true", options=options), definition="clusterjobs-x:1")["jobDefinition"]
        == "clusterjobs-x:1"
    )


def test_resources_of_the_options_and_of_the_job_are_merged() -> None:
    options = {"containerOverrides": {"resourceRequirements": [{"type": "GPU", "value": "1"}]}}
    found = request_of(JobSpec("true", resources=Resources(cpus=2), options=options))
    kinds = [each["type"] for each in overrides(found)["resourceRequirements"]]
    assert kinds == ["GPU", "VCPU"]


def test_several_nodes_use_the_node_ranges_of_the_definition() -> None:
    options = {"instanceTypes": ["p5.48xlarge"]}
    found = request_of(JobSpec("true", nodes=4, options=options), targets=("0:0", "1:"))
    assert found["jobDefinition"] == "mn"
    nodes = found["nodeOverrides"]
    assert nodes["numNodes"] == 4
    assert [each["targetNodes"] for each in nodes["nodePropertyOverrides"]] == ["0:0", "1:"]
    assert all(each["instanceTypes"] == ["p5.48xlarge"] for each in nodes["nodePropertyOverrides"])
    assert found.keys() & {"containerOverrides", "instanceTypes"} == set()
    assert "CLUSTERJOBS_NODE_RANK" not in environment(found)


@pytest.mark.parametrize(
    ("site", "own", "workdir"),
    [
        ("", None, ""),
        ("", "sub", "sub"),
        ("/app", None, "/app"),
        ("/app/", "sub", "/app/sub"),
        ("/app", "/x", "/x"),
    ],
)
def test_the_working_directory_of_a_job(site: str, own: str | None, workdir: str) -> None:
    command = overrides(request_of(JobSpec("true", workdir=own), workdir=site))["command"]
    assert command[command.index("sentinel") + 7] == workdir


@pytest.mark.parametrize("nodes", [1, 3])
def test_boto3_accepts_the_request(nodes: int) -> None:
    spec = JobSpec("true", nodes=nodes, max_restarts=1, resources=Resources(1, 1, 1 << 30))
    client = boto3.client("batch", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        stubber.add_response("submit_job", {"jobName": TOKEN, "jobId": "1"})
        client.submit_job(**request_of(spec))
    client.close()


def test_the_request_is_json_and_deterministic() -> None:
    spec = JobSpec("true", nodes=2, env={"A": "1"})
    assert json.dumps(request_of(spec)) == json.dumps(request_of(spec))


# The variables on the node, in a real shell.


def on_node(
    spec: JobSpec, folder: Path, shell: str = "sh", **batch: str
) -> tuple[dict[str, str], list[str], str]:
    """The job's variables ``CLUSTERJOBS_*``, the lines of its host file, and all of its output."""
    found = request_of(spec, linger=0)
    command = overrides(found)["command"]
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(folder), **environment(found)}
    variables |= {f"AWS_BATCH_JOB_{name}": value for name, value in batch.items()}
    done = subprocess.run(
        [shell, *command[1:]], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.splitlines()
    seen = dict(line.split("=", 1) for line in lines if line.startswith("CLUSTERJOBS_"))
    hosts = [line.removeprefix("host ") for line in lines if line.startswith("host ")]
    return seen, hosts, done.stdout + done.stderr


SHOW = "env | grep ^CLUSTERJOBS_; sed 's/^/host /' <\"$CLUSTERJOBS_HOSTFILE\""


def test_the_variables_of_a_single_node(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    seen, hosts, output = on_node(JobSpec(SHOW, shell="sh"), folder, ID="j1", ATTEMPT="3")
    assert seen["CLUSTERJOBS_RESTARTS"] == "2"
    assert (seen["CLUSTERJOBS_NODE_RANK"], seen["CLUSTERJOBS_MASTER_ADDR"]) == ("0", "127.0.0.1")
    assert hosts == ["127.0.0.1"]
    assert "restarts=2" in output and "exit_code=0" in output


def test_the_variables_of_a_child_node(tmp_path: Path) -> None:
    child = {"NODE_INDEX": "1", "MAIN_NODE_PRIVATE_IPV4_ADDRESS": "10.0.0.7"}
    seen, hosts, output = on_node(
        JobSpec(SHOW, shell="sh", nodes=3), tmp_path, ID="j1#1", ATTEMPT="1", **child
    )
    assert (seen["CLUSTERJOBS_NODE_RANK"], seen["CLUSTERJOBS_MASTER_ADDR"]) == ("1", "10.0.0.7")
    assert hosts[0] == "10.0.0.7" and hosts[2] == "rank-2.invalid" and len(hosts) == 3
    assert "node=1" in output


def test_the_main_node_finds_its_own_address(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "hostname").write_text('#!/bin/sh\n[ "$1" = -i ] && echo 10.0.0.7 172.17.0.1\n')
    (tools / "hostname").chmod(0o755)
    spec = JobSpec(SHOW, shell="sh", nodes=2, env={"PATH": f"{tools}:/usr/bin:/bin"})
    seen, hosts, _ = on_node(spec, tmp_path, ID="j1#0", ATTEMPT="1", NODE_INDEX="0")
    assert seen["CLUSTERJOBS_MASTER_ADDR"] == "10.0.0.7"
    assert hosts == ["10.0.0.7", "rank-1.invalid"]


def test_a_main_node_without_hostname_has_the_address_0_0_0_0(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "sleep", "rm", "tee", "env", "grep", "sed", "date", "setsid"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
    spec = JobSpec(SHOW, shell="sh", nodes=2, env={"PATH": str(tools)})
    seen, _, _ = on_node(spec, tmp_path, "/bin/sh", ID="j1#0", ATTEMPT="1", NODE_INDEX="0")
    assert seen["CLUSTERJOBS_MASTER_ADDR"] == "0.0.0.0"


def test_lingering_does_not_change_the_exit_code_of_the_main_node(tmp_path: Path) -> None:
    for code in (0, 3):
        found = request_of(JobSpec(f"exit {code}", nodes=2), linger=0.1)
        variables = {**environment(found), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
        variables |= {"AWS_BATCH_JOB_ID": "j#0", "AWS_BATCH_JOB_NODE_INDEX": "0"}
        command = overrides(found)["command"]
        assert subprocess.run(command, env=variables, capture_output=True, check=False).returncode == code


def test_variables_of_a_job_are_not_changed_by_the_prelude(tmp_path: Path) -> None:
    """Names like those of the shell text, as it is written and as it is delivered."""
    names = ["cj_rest", "cj_left", "cj_some", "cj_i", "cj_me", "n", "i", "me", "max"]
    spec = JobSpec("env", shell="sh", nodes=2, env={name: f"of-the-job-{name}" for name in names})
    _, _, output = on_node(spec, tmp_path, ID="j1#0", ATTEMPT="1", NODE_INDEX="0")
    assert [name for name in names if f"{name}=of-the-job-{name}" not in output.splitlines()] == []


@pytest.mark.parametrize("nodes", [1, 2])
def test_args_are_counted_with_and_without_setup(nodes: int) -> None:
    plain, prepared = (
        request_of(JobSpec("true", nodes=nodes, args=("x" * 3000,), setup=setup)) for setup in (None, "true")
    )
    assert "x" * 3000 in overrides(prepared)["command"][2 + 1 + 6] and len(plain) == len(prepared)
    assert size(overrides(prepared)) > 3000
