"""Cancelling, terminating, arrays, dependencies and several nodes on the local AWS Batch."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.devclusters.aws_batch.batch_user import BatchUser
from tests.devclusters.aws_batch.batch_user import wait_until


def test_terminate_ends_a_running_job_with_the_caller_s_reason(user: BatchUser) -> None:
    job_id = user.submit("trap 'echo terminated; exit 5' TERM; echo up; while :; do sleep 0.05; done")
    user.wait_for_log(job_id, "up")
    user.batch.terminate_job(jobId=job_id, reason="run r1: enough")
    seen = user.wait(job_id)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "run r1: enough")
    assert (seen["isTerminated"], seen["isCancelled"]) == (True, False)
    assert seen["container"]["exitCode"] == 5
    assert user.log(seen["container"]) == ["up", "terminated"]


def test_a_terminated_job_is_not_retried(user: BatchUser) -> None:
    job_id = user.submit("sleep 600", retryStrategy={"attempts": 3})
    user.wait(job_id, "RUNNING")
    user.batch.terminate_job(jobId=job_id, reason="enough")
    assert len(user.wait(job_id)["attempts"]) == 1


def test_terminate_kills_a_job_that_ignores_sigterm(user: BatchUser, queue: Callable[..., str]) -> None:
    job_id = user.submit(
        "trap '' TERM; echo up; while :; do sleep 0.05; done", jobQueue=queue(stop_grace=0.2)
    )
    user.wait_for_log(job_id, "up")
    user.batch.terminate_job(jobId=job_id, reason="enough")
    assert user.wait(job_id)["container"]["exitCode"] == 137


def test_an_ended_job_does_not_change(user: BatchUser) -> None:
    seen = user.run("exit 3")
    user.batch.terminate_job(jobId=seen["jobId"], reason="too late")
    user.batch.cancel_job(jobId=seen["jobId"], reason="too late")
    assert user.look(seen["jobId"]) == seen


@pytest.mark.parametrize("how", ["cancel_job", "terminate_job"])
def test_a_waiting_job_ends_at_once(user: BatchUser, queue: Callable[..., str], how: str) -> None:
    job_id = user.submit("true", "x", jobQueue=queue(stuck="CAPACITY:none"))
    user.wait(job_id, "RUNNABLE")
    getattr(user.batch, how)(jobId=job_id, reason="not needed")
    seen = user.wait(job_id)
    assert (seen["status"], seen["statusReason"], seen["attempts"]) == ("FAILED", "not needed", [])
    assert (seen["isCancelled"], seen["isTerminated"]) == (how == "cancel_job", how == "terminate_job")


def test_terminate_between_two_states_keeps_its_reason(user: BatchUser, queue: Callable[..., str]) -> None:
    job_id = user.submit("true", "x", jobQueue=queue(stuck=""))
    user.wait(job_id, "RUNNABLE")
    queue(stuck=None, step=600.0)
    user.wait(job_id, "STARTING")
    user.batch.terminate_job(jobId=job_id, reason="now")
    seen = user.wait(job_id)
    assert (seen["status"], seen["statusReason"], seen["attempts"]) == ("FAILED", "now", [])


def test_cancel_does_not_end_a_running_job(user: BatchUser) -> None:
    job_id = user.submit("echo up; sleep 600")
    user.wait_for_log(job_id, "up")
    user.batch.cancel_job(jobId=job_id, reason="please")
    assert user.look(job_id)["status"] == "RUNNING"
    user.batch.terminate_job(jobId=job_id, reason="now")
    assert not user.wait(job_id)["isCancelled"]


def test_a_cancelled_job_that_waits_for_another_ends_after_it(
    user: BatchUser, queue: Callable[..., str]
) -> None:
    first = user.submit("true", "x", jobQueue=queue(stuck=""))
    second = user.submit("true", "x", dependsOn=[{"jobId": first}])
    user.wait(second, "PENDING")
    user.batch.cancel_job(jobId=second, reason="not needed")
    assert user.look(second)["status"] == "PENDING"
    queue(stuck=None)
    assert user.wait(first)["status"] == "SUCCEEDED"
    seen = user.wait(second)
    assert (seen["status"], seen["statusReason"], seen["isCancelled"]) == ("FAILED", "not needed", True)


def test_unknown_jobs_are_not_an_error(user: BatchUser) -> None:
    unknown = str(uuid.uuid4())
    user.batch.terminate_job(jobId=unknown, reason="x")
    user.batch.cancel_job(jobId=unknown, reason="x")
    assert user.batch.describe_jobs(jobs=[unknown])["jobs"] == []


@pytest.mark.parametrize("how", ["cancel_jobs", "terminate_jobs"])
def test_fifty_jobs_end_in_one_call(user: BatchUser, queue: Callable[..., str], how: str) -> None:
    if not hasattr(user.batch, how):
        pytest.skip(f"this boto3 has no {how}")
    name = queue(stuck="CAPACITY:none")
    jobs = [user.submit("true", "x", jobQueue=name) for _ in range(50)]
    answer = getattr(user.batch, how)(jobs=[*jobs[:49], "nonsense"], reason="all")
    assert answer["successful"] == jobs[:49]
    assert [(each["job"], each["code"]) for each in answer["errors"]] == [("nonsense", "ValidationException")]
    states = user.batch.describe_jobs(jobs=jobs)["jobs"]
    assert {each["statusReason"] for each in states if each["jobId"] != jobs[49]} <= {"all"}
    with pytest.raises(ClientError, match="1 to 50"):
        getattr(user.batch, how)(jobs=[*jobs, jobs[0]], reason="all")
    user.batch.terminate_job(jobId=jobs[49], reason="x")


def test_a_job_waits_for_its_dependencies(user: BatchUser, queue: Callable[..., str]) -> None:
    first = user.submit("true", "x", jobQueue=queue(stuck=""))
    second = user.submit("true", "x", dependsOn=[{"jobId": first}])
    assert user.wait(second, "PENDING")["dependsOn"] == [{"jobId": first}]
    queue(stuck=None)
    assert user.wait(second)["startedAt"] >= user.wait(first)["stoppedAt"]


@pytest.mark.parametrize("ended", [True, False], ids=["has ended", "runs"])
def test_a_failure_fails_dependent_jobs(user: BatchUser, ended: bool) -> None:
    first = user.submit("sleep 0.2; exit 1")
    if ended:
        user.wait(first)
    seen = user.run("true", "x", dependsOn=[{"jobId": first}])
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Dependent Job failed")
    assert seen["attempts"] == []


def test_an_array_has_children_with_indices(user: BatchUser) -> None:
    seen = user.run(
        'echo "$AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE"', arrayProperties={"size": 3}
    )
    assert seen["status"] == "SUCCEEDED"
    assert seen["arrayProperties"]["size"] == 3
    assert seen["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    ids = [f"{seen['jobId']}:{index}" for index in range(3)]
    children = user.batch.describe_jobs(jobs=ids)["jobs"]
    assert [child["arrayProperties"]["index"] for child in children] == [0, 1, 2]
    assert [user.log(child["container"]) for child in children] == [["0 of 3"], ["1 of 3"], ["2 of 3"]]


def test_an_array_fails_with_a_child(user: BatchUser) -> None:
    script = '[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 ] || exit 9'
    seen = user.run(script, arrayProperties={"size": 2})
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Array Child Job failed")
    assert user.look(f"{seen['jobId']}:1")["container"]["exitCode"] == 9


def test_an_array_ends_with_all_its_children(user: BatchUser) -> None:
    job_id = user.submit("sleep 600", arrayProperties={"size": 3})
    user.wait(f"{job_id}:2", "RUNNING")
    assert user.look(job_id)["status"] == "PENDING"
    user.batch.terminate_job(jobId=job_id, reason="all of it")
    assert user.wait(job_id)["status"] == "FAILED"
    assert {user.look(f"{job_id}:{index}")["statusReason"] for index in range(3)} == {"all of it"}


def test_children_with_sequential_dependencies(user: BatchUser) -> None:
    script = '[ "$AWS_BATCH_JOB_ARRAY_INDEX" -ne 1 ]'
    seen = user.run(script, arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}])
    reasons = [user.look(f"{seen['jobId']}:{index}").get("statusReason") for index in range(3)]
    assert reasons == [*["Essential container in task exited"] * 2, "Dependent Job failed"]


def test_children_with_n_to_n_dependencies(user: BatchUser) -> None:
    first = user.submit('[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 1 ]', arrayProperties={"size": 2})
    depends = [{"jobId": first, "type": "N_TO_N"}]
    seen = user.run("true", "x", arrayProperties={"size": 2}, dependsOn=depends)
    assert [user.look(f"{seen['jobId']}:{index}")["status"] for index in (0, 1)] == ["FAILED", "SUCCEEDED"]


MAIN = '[ "$AWS_BATCH_JOB_NODE_INDEX" = 0 ]'
NODE = (
    'echo "$AWS_BATCH_JOB_NODE_INDEX of $AWS_BATCH_JOB_NUM_NODES main $AWS_BATCH_JOB_MAIN_NODE_INDEX '
    'at ${AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS-here}"'
)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """A file for which main nodes wait."""
    return tmp_path / "go"


def wait_for(go: Path) -> str:
    """The shell command of the main node."""
    return f"until [ -e '{go}' ]; do sleep 0.05; done"


def test_several_nodes_each_with_a_log(user: BatchUser, go: Path) -> None:
    job_id = user.submit(f"{NODE}; if {MAIN}; then {wait_for(go)}; fi", nodes=3)
    for index in (1, 2):
        assert user.wait(f"{job_id}#{index}")["status"] == "SUCCEEDED"
    go.touch()
    seen = user.wait(job_id)
    assert seen["status"] == "SUCCEEDED"
    assert seen["nodeProperties"]["numNodes"] == 3
    assert "container" not in seen
    ids = [f"{job_id}#{index}" for index in range(3)]
    found = user.batch.describe_jobs(jobs=ids)["jobs"]
    assert [each["nodeDetails"] for each in found] == [
        {"nodeIndex": index, "isMainNode": index == 0} for index in range(3)
    ]
    assert [user.log(each["container"]) for each in found] == [
        ["0 of 3 main 0 at here"],
        ["1 of 3 main 0 at 127.0.0.1"],
        ["2 of 3 main 0 at 127.0.0.1"],
    ]


def test_the_main_node_decides_and_stops_the_others(user: BatchUser, go: Path) -> None:
    job_id = user.submit(f"if {MAIN}; then {wait_for(go)}; exit 6; fi; echo up; sleep 600", nodes=2)
    wait_until(lambda: "startedAt" in user.look(f"{job_id}#1"), "the other node")
    user.wait_for_log(f"{job_id}#1", "up")
    go.touch()
    seen = user.wait(job_id)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Essential container in task exited")
    assert [attempt["container"]["exitCode"] for attempt in seen["attempts"]] == [6]
    other = user.wait(f"{seen['jobId']}#1")
    assert (other["status"], other["container"]["exitCode"]) == ("FAILED", 143)


def test_the_end_of_a_child_has_no_effect(user: BatchUser, go: Path) -> None:
    job_id = user.submit(f"{MAIN} || exit 9; {wait_for(go)}", nodes=2)
    other = user.wait(f"{job_id}#1")
    assert (other["status"], other["container"]["exitCode"]) == ("FAILED", 9)
    assert user.look(job_id)["status"] == "RUNNING"
    go.touch()
    assert user.wait(job_id)["status"] == "SUCCEEDED"


def test_all_nodes_are_retried(user: BatchUser, tmp_path: Path) -> None:
    up = f"'{tmp_path}'/$AWS_BATCH_JOB_ATTEMPT"
    child = f'echo "try $AWS_BATCH_JOB_ATTEMPT"; touch {up}; sleep 600'
    script = f"if {MAIN}; then until [ -e {up} ]; do sleep 0.05; done; exit 2; fi; {child}"
    seen = user.run(script, nodes=2, retryStrategy={"attempts": 2})
    other = user.wait(f"{seen['jobId']}#1")
    assert [attempt["container"]["exitCode"] for attempt in seen["attempts"]] == [2, 2]
    assert [user.log(attempt["container"]) for attempt in other["attempts"]] == [["try 1"], ["try 2"]]


def test_terminate_ends_all_nodes(user: BatchUser) -> None:
    job_id = user.submit("sleep 600", nodes=3)
    user.wait(f"{job_id}#2", "RUNNING")
    wait_until(lambda: "startedAt" in user.look(f"{job_id}#2"), "the last node")
    user.batch.terminate_job(jobId=job_id, reason="all nodes")
    assert user.wait(job_id)["statusReason"] == "all nodes"
    assert [user.wait(f"{job_id}#{index}")["container"]["exitCode"] for index in range(3)] == [143] * 3


def test_a_node_can_lose_its_machine(user: BatchUser, go: Path) -> None:
    job_id = user.submit(f"{MAIN} || sleep 600; {wait_for(go)}", nodes=2)
    wait_until(lambda: "startedAt" in user.look(f"{job_id}#1"), "the other node")
    user.local.reclaim(f"{job_id}#1")
    assert user.wait(f"{job_id}#1")["statusReason"].startswith("Host EC2 (instance i-")
    go.touch()
    assert user.wait(job_id)["status"] == "SUCCEEDED"


def test_a_job_with_too_many_nodes_waits(user: BatchUser) -> None:
    job_id = user.submit("true", "x", nodes=65)
    wait_until(lambda: "statusReason" in user.look(job_id), "a reason")
    assert user.look(job_id)["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
    user.batch.terminate_job(jobId=job_id, reason="x")


def test_overrides_of_nodes_must_match_a_range(user: BatchUser) -> None:
    overrides = {"numNodes": 2, "nodePropertyOverrides": [{"targetNodes": "0"}]}
    with pytest.raises(ClientError, match=r"should match job definition\. Non matching targets - 0:0"):
        user.submit(jobDefinition=user.local.parallel_definition, nodeOverrides=overrides)
