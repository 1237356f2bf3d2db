"""Cancelling, terminating, arrays, dependencies and several nodes on the local AWS Batch."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.devclusters.aws_batch.shop import Shop
from tests.devclusters.aws_batch.shop import wait_until


def test_terminate_ends_a_running_job_with_the_callers_words(shop: Shop) -> None:
    job_id = shop.submit("trap 'echo told; exit 5' TERM; echo up; while :; do sleep 0.05; done")
    shop.wait_for_log(job_id, "up")
    shop.batch.terminate_job(jobId=job_id, reason="run r1: enough")
    seen = shop.wait(job_id)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "run r1: enough")
    assert (seen["isTerminated"], seen["isCancelled"]) == (True, False)
    assert seen["container"]["exitCode"] == 5
    assert shop.log(seen["container"]) == ["up", "told"]


def test_a_terminated_job_is_not_retried(shop: Shop) -> None:
    job_id = shop.submit("sleep 600", retryStrategy={"attempts": 3})
    shop.wait(job_id, "RUNNING")
    shop.batch.terminate_job(jobId=job_id, reason="enough")
    assert len(shop.wait(job_id)["attempts"]) == 1


def test_terminate_kills_who_does_not_heed_it(shop: Shop, queue: Callable[..., str]) -> None:
    job_id = shop.submit(
        "trap '' TERM; echo up; while :; do sleep 0.05; done", jobQueue=queue(stop_grace=0.2)
    )
    shop.wait_for_log(job_id, "up")
    shop.batch.terminate_job(jobId=job_id, reason="enough")
    assert shop.wait(job_id)["container"]["exitCode"] == 137


def test_what_has_ended_stays_as_it_ended(shop: Shop) -> None:
    seen = shop.run("exit 3")
    shop.batch.terminate_job(jobId=seen["jobId"], reason="too late")
    shop.batch.cancel_job(jobId=seen["jobId"], reason="too late")
    assert shop.look(seen["jobId"]) == seen


@pytest.mark.parametrize("how", ["cancel_job", "terminate_job"])
def test_what_waits_ends_at_once(shop: Shop, queue: Callable[..., str], how: str) -> None:
    job_id = shop.submit("true", "x", jobQueue=queue(stuck="CAPACITY:none"))
    shop.wait(job_id, "RUNNABLE")
    getattr(shop.batch, how)(jobId=job_id, reason="not needed")
    seen = shop.wait(job_id)
    assert (seen["status"], seen["statusReason"], seen["attempts"]) == ("FAILED", "not needed", [])
    assert (seen["isCancelled"], seen["isTerminated"]) == (how == "cancel_job", how == "terminate_job")


def test_terminate_between_two_states_keeps_its_reason(shop: Shop, queue: Callable[..., str]) -> None:
    job_id = shop.submit("true", "x", jobQueue=queue(stuck=""))
    shop.wait(job_id, "RUNNABLE")
    queue(stuck=None, step=600.0)
    shop.wait(job_id, "STARTING")
    shop.batch.terminate_job(jobId=job_id, reason="now")
    seen = shop.wait(job_id)
    assert (seen["status"], seen["statusReason"], seen["attempts"]) == ("FAILED", "now", [])


def test_cancel_does_nothing_to_what_runs(shop: Shop) -> None:
    job_id = shop.submit("echo up; sleep 600")
    shop.wait_for_log(job_id, "up")
    shop.batch.cancel_job(jobId=job_id, reason="please")
    assert shop.look(job_id)["status"] == "RUNNING"
    shop.batch.terminate_job(jobId=job_id, reason="now")
    assert not shop.wait(job_id)["isCancelled"]


def test_a_cancelled_job_that_waits_for_another_ends_after_it(shop: Shop, queue: Callable[..., str]) -> None:
    first = shop.submit("true", "x", jobQueue=queue(stuck=""))
    second = shop.submit("true", "x", dependsOn=[{"jobId": first}])
    shop.wait(second, "PENDING")
    shop.batch.cancel_job(jobId=second, reason="not needed")
    assert shop.look(second)["status"] == "PENDING"
    queue(stuck=None)
    assert shop.wait(first)["status"] == "SUCCEEDED"
    seen = shop.wait(second)
    assert (seen["status"], seen["statusReason"], seen["isCancelled"]) == ("FAILED", "not needed", True)


def test_jobs_not_counted_are_no_error(shop: Shop) -> None:
    unknown = str(uuid.uuid4())
    shop.batch.terminate_job(jobId=unknown, reason="x")
    shop.batch.cancel_job(jobId=unknown, reason="x")
    assert shop.batch.describe_jobs(jobs=[unknown])["jobs"] == []


@pytest.mark.parametrize("how", ["cancel_jobs", "terminate_jobs"])
def test_fifty_jobs_end_in_one_call(shop: Shop, queue: Callable[..., str], how: str) -> None:
    if not hasattr(shop.batch, how):
        pytest.skip(f"this boto3 has no {how}")
    name = queue(stuck="CAPACITY:none")
    jobs = [shop.submit("true", "x", jobQueue=name) for _ in range(50)]
    answer = getattr(shop.batch, how)(jobs=[*jobs[:49], "nonsense"], reason="all")
    assert answer["successful"] == jobs[:49]
    assert [(each["job"], each["code"]) for each in answer["errors"]] == [("nonsense", "ValidationException")]
    states = shop.batch.describe_jobs(jobs=jobs)["jobs"]
    assert {each["statusReason"] for each in states if each["jobId"] != jobs[49]} <= {"all"}
    with pytest.raises(ClientError, match="1 to 50"):
        getattr(shop.batch, how)(jobs=[*jobs, jobs[0]], reason="all")
    shop.batch.terminate_job(jobId=jobs[49], reason="x")


def test_a_job_waits_for_those_it_depends_on(shop: Shop, queue: Callable[..., str]) -> None:
    first = shop.submit("true", "x", jobQueue=queue(stuck=""))
    second = shop.submit("true", "x", dependsOn=[{"jobId": first}])
    assert shop.wait(second, "PENDING")["dependsOn"] == [{"jobId": first}]
    queue(stuck=None)
    assert shop.wait(second)["startedAt"] >= shop.wait(first)["stoppedAt"]


@pytest.mark.parametrize("ended", [True, False], ids=["has ended", "runs"])
def test_a_failure_fails_those_that_depend_on_it(shop: Shop, ended: bool) -> None:
    first = shop.submit("sleep 0.2; exit 1")
    if ended:
        shop.wait(first)
    seen = shop.run("true", "x", dependsOn=[{"jobId": first}])
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Dependent Job failed")
    assert seen["attempts"] == []


def test_an_array_has_children_with_indices(shop: Shop) -> None:
    seen = shop.run(
        'echo "$AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE"', arrayProperties={"size": 3}
    )
    assert seen["status"] == "SUCCEEDED"
    assert seen["arrayProperties"]["size"] == 3
    assert seen["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    ids = [f"{seen['jobId']}:{index}" for index in range(3)]
    children = shop.batch.describe_jobs(jobs=ids)["jobs"]
    assert [child["arrayProperties"]["index"] for child in children] == [0, 1, 2]
    assert [shop.log(child["container"]) for child in children] == [["0 of 3"], ["1 of 3"], ["2 of 3"]]


def test_an_array_fails_with_a_child(shop: Shop) -> None:
    script = '[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 ] || exit 9'
    seen = shop.run(script, arrayProperties={"size": 2})
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Array Child Job failed")
    assert shop.look(f"{seen['jobId']}:1")["container"]["exitCode"] == 9


def test_an_array_ends_with_all_its_children(shop: Shop) -> None:
    job_id = shop.submit("sleep 600", arrayProperties={"size": 3})
    shop.wait(f"{job_id}:2", "RUNNING")
    assert shop.look(job_id)["status"] == "PENDING"
    shop.batch.terminate_job(jobId=job_id, reason="all of it")
    assert shop.wait(job_id)["status"] == "FAILED"
    assert {shop.look(f"{job_id}:{index}")["statusReason"] for index in range(3)} == {"all of it"}


def test_children_one_after_the_other(shop: Shop) -> None:
    script = '[ "$AWS_BATCH_JOB_ARRAY_INDEX" -ne 1 ]'
    seen = shop.run(script, arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}])
    reasons = [shop.look(f"{seen['jobId']}:{index}").get("statusReason") for index in range(3)]
    assert reasons == [*["Essential container in task exited"] * 2, "Dependent Job failed"]


def test_children_each_after_their_like(shop: Shop) -> None:
    first = shop.submit('[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 1 ]', arrayProperties={"size": 2})
    depends = [{"jobId": first, "type": "N_TO_N"}]
    seen = shop.run("true", "x", arrayProperties={"size": 2}, dependsOn=depends)
    assert [shop.look(f"{seen['jobId']}:{index}")["status"] for index in (0, 1)] == ["FAILED", "SUCCEEDED"]


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
    """What the main node has to run, in sh."""
    return f"until [ -e '{go}' ]; do sleep 0.05; done"


def test_several_nodes_each_with_a_log(shop: Shop, go: Path) -> None:
    job_id = shop.submit(f"{NODE}; if {MAIN}; then {wait_for(go)}; fi", nodes=3)
    for index in (1, 2):
        assert shop.wait(f"{job_id}#{index}")["status"] == "SUCCEEDED"
    go.touch()
    seen = shop.wait(job_id)
    assert seen["status"] == "SUCCEEDED"
    assert seen["nodeProperties"]["numNodes"] == 3
    assert "container" not in seen
    ids = [f"{job_id}#{index}" for index in range(3)]
    found = shop.batch.describe_jobs(jobs=ids)["jobs"]
    assert [each["nodeDetails"] for each in found] == [
        {"nodeIndex": index, "isMainNode": index == 0} for index in range(3)
    ]
    assert [shop.log(each["container"]) for each in found] == [
        ["0 of 3 main 0 at here"],
        ["1 of 3 main 0 at 127.0.0.1"],
        ["2 of 3 main 0 at 127.0.0.1"],
    ]


def test_the_main_node_decides_and_stops_the_others(shop: Shop, go: Path) -> None:
    job_id = shop.submit(f"if {MAIN}; then {wait_for(go)}; exit 6; fi; echo up; sleep 600", nodes=2)
    wait_until(lambda: "startedAt" in shop.look(f"{job_id}#1"), "the other node")
    shop.wait_for_log(f"{job_id}#1", "up")
    go.touch()
    seen = shop.wait(job_id)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Essential container in task exited")
    assert [attempt["container"]["exitCode"] for attempt in seen["attempts"]] == [6]
    other = shop.wait(f"{seen['jobId']}#1")
    assert (other["status"], other["container"]["exitCode"]) == ("FAILED", 143)


def test_a_childs_death_has_no_effect(shop: Shop, go: Path) -> None:
    job_id = shop.submit(f"{MAIN} || exit 9; {wait_for(go)}", nodes=2)
    other = shop.wait(f"{job_id}#1")
    assert (other["status"], other["container"]["exitCode"]) == ("FAILED", 9)
    assert shop.look(job_id)["status"] == "RUNNING"
    go.touch()
    assert shop.wait(job_id)["status"] == "SUCCEEDED"


def test_several_nodes_are_all_started_again(shop: Shop, tmp_path: Path) -> None:
    up = f"'{tmp_path}'/$AWS_BATCH_JOB_ATTEMPT"
    child = f'echo "try $AWS_BATCH_JOB_ATTEMPT"; touch {up}; sleep 600'
    script = f"if {MAIN}; then until [ -e {up} ]; do sleep 0.05; done; exit 2; fi; {child}"
    seen = shop.run(script, nodes=2, retryStrategy={"attempts": 2})
    other = shop.wait(f"{seen['jobId']}#1")
    assert [attempt["container"]["exitCode"] for attempt in seen["attempts"]] == [2, 2]
    assert [shop.log(attempt["container"]) for attempt in other["attempts"]] == [["try 1"], ["try 2"]]


def test_terminate_ends_all_nodes(shop: Shop) -> None:
    job_id = shop.submit("sleep 600", nodes=3)
    shop.wait(f"{job_id}#2", "RUNNING")
    wait_until(lambda: "startedAt" in shop.look(f"{job_id}#2"), "the last node")
    shop.batch.terminate_job(jobId=job_id, reason="all nodes")
    assert shop.wait(job_id)["statusReason"] == "all nodes"
    assert [shop.wait(f"{job_id}#{index}")["container"]["exitCode"] for index in range(3)] == [143] * 3


def test_a_node_may_lose_its_machine(shop: Shop, go: Path) -> None:
    job_id = shop.submit(f"{MAIN} || sleep 600; {wait_for(go)}", nodes=2)
    wait_until(lambda: "startedAt" in shop.look(f"{job_id}#1"), "the other node")
    shop.local.reclaim(f"{job_id}#1")
    assert shop.wait(f"{job_id}#1")["statusReason"].startswith("Host EC2 (instance i-")
    go.touch()
    assert shop.wait(job_id)["status"] == "SUCCEEDED"


def test_more_nodes_than_there_are_wait_for_ever(shop: Shop) -> None:
    job_id = shop.submit("true", "x", nodes=65)
    wait_until(lambda: "statusReason" in shop.look(job_id), "a reason")
    assert shop.look(job_id)["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE")
    shop.batch.terminate_job(jobId=job_id, reason="x")


def test_overrides_of_nodes_must_meet_a_range(shop: Shop) -> None:
    overrides = {"numNodes": 2, "nodePropertyOverrides": [{"targetNodes": "0"}]}
    with pytest.raises(ClientError, match=r"should match job definition\. Non matching targets - 0:0"):
        shop.submit(jobDefinition=shop.local.parallel_definition, nodeOverrides=overrides)
