"""How jobs end on the local AWS Batch: exit codes, retries, limits, memory, machines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.devclusters.aws_batch.batch_user import BatchUser
from tests.devclusters.aws_batch.batch_user import Json
from tests.devclusters.aws_batch.batch_user import wait_until

COMMAND_ENDED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [("exit 0", "SUCCEEDED", 0), ("exit 3", "FAILED", 3), ("kill -SEGV $$", "FAILED", 139)],
)
def test_exit_codes_are_those_of_the_process(user: BatchUser, script: str, status: str, code: int) -> None:
    seen = user.run(script)
    assert (seen["status"], seen["container"]["exitCode"]) == (status, code)
    assert seen["statusReason"] == COMMAND_ENDED
    assert [attempt["container"]["exitCode"] for attempt in seen["attempts"]] == [code]
    assert seen["createdAt"] <= seen["startedAt"] <= seen["stoppedAt"]
    assert not seen["isCancelled"]
    assert not seen["isTerminated"]


def test_a_job_has_only_the_variables_that_batch_gives_it(
    user: BatchUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "not yours")
    given = [{"name": "GIVEN", "value": "two words"}]
    job_id = user.submit("env; echo $PWD", overrides={"environment": given})
    lines = user.log(user.wait(job_id)["container"])
    found = dict(line.split("=", 1) for line in lines[:-1])
    assert found["GIVEN"] == "two words"
    assert found["AWS_BATCH_JOB_ID"] == job_id
    assert found["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert found["AWS_BATCH_JQ_NAME"] == user.local.queue
    batch = {name for name in found if name.startswith("AWS_BATCH_")}
    assert set(found) - batch == {"GIVEN", "PATH", "HOME", "TMPDIR", "PWD", "AWS_EC2_METADATA_DISABLED"}
    assert found["HOME"] == lines[-1], "a folder of its own"


def test_child_processes_end_with_their_job(user: BatchUser) -> None:
    seen = user.run("setsid sleep 617 & setsid sh -c 'trap : TERM; sleep 618' & echo $!; exit 4")
    assert seen["container"]["exitCode"] == 4
    pid = user.log(seen["container"])[0]
    with pytest.raises(FileNotFoundError), open(f"/proc/{pid}/stat"):
        pass


def test_a_retry_is_another_attempt_with_a_log_of_its_own(user: BatchUser) -> None:
    script = 'echo attempt $AWS_BATCH_JOB_ATTEMPT; [ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] || exit 7'
    seen = user.run(script, retryStrategy={"attempts": 3})
    assert seen["status"] == "SUCCEEDED"
    containers = [attempt["container"] for attempt in seen["attempts"]]
    assert [each["exitCode"] for each in containers] == [7, 0]
    assert [user.log(each) for each in containers] == [["attempt 1"], ["attempt 2"]]
    assert seen["container"]["logStreamName"] == containers[1]["logStreamName"]


@pytest.mark.parametrize(
    ("rules", "attempts"),
    [
        ([{"onExitCode": "5", "action": "EXIT"}], 1),
        ([{"onExitCode": "6", "action": "EXIT"}], 3),
        ([{"onExitCode": "5", "action": "retry"}, {"onReason": "*", "action": "EXIT"}], 3),
        ([{"onStatusReason": "Essential*", "action": "exit"}], 1),
        ([{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}], 1),
    ],
    ids=["matches", "no match retries", "first match", "prefix", "spot only"],
)
def test_evaluate_on_exit(user: BatchUser, rules: list[Json], attempts: int) -> None:
    seen = user.run("exit 5", retryStrategy={"attempts": 3, "evaluateOnExit": rules})
    assert (seen["status"], len(seen["attempts"])) == ("FAILED", attempts)


def test_a_timeout_is_never_retried(user: BatchUser, queue: Callable[..., str]) -> None:
    name = queue(time_scale=0.005)
    timeout = {"attemptDurationSeconds": 60}
    seen = user.run("sleep", "600", jobQueue=name, timeout=timeout, retryStrategy={"attempts": 3})
    assert seen["statusReason"] == "Job attempt duration exceeded timeout"
    assert [attempt["container"]["exitCode"] for attempt in seen["attempts"]] == [143]
    assert seen["timeout"] == timeout
    assert not seen["isTerminated"]


def test_a_job_that_ignores_its_timeout_is_killed(user: BatchUser, queue: Callable[..., str]) -> None:
    name = queue(time_scale=0.005, stop_grace=0.2)
    script = "trap 'echo terminated' TERM; while :; do sleep 0.05; done"
    seen = user.run(script, jobQueue=name, timeout={"attemptDurationSeconds": 60})
    assert seen["container"]["exitCode"] == 137
    assert user.log(seen["container"]) == ["terminated"]


def test_a_job_that_uses_too_much_memory_has_that_reason(user: BatchUser) -> None:
    memory = [{"type": "MEMORY", "value": "64"}]
    program = "import time\nkept = bytearray(300 << 20)\ntime.sleep(60)"
    seen = user.run(sys.executable, "-c", program, overrides={"resourceRequirements": memory})
    assert (seen["status"], seen["container"]["exitCode"]) == ("FAILED", 137)
    assert seen["container"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert seen["attempts"][0]["container"]["reason"] == seen["container"]["reason"]


@pytest.mark.parametrize(
    ("fargate", "reason"),
    [
        (False, "Host EC2 (instance i-0123456789abcdef0) terminated."),
        (True, "Your Spot Task was interrupted."),
    ],
)
def test_a_reclaimed_machine_has_its_reason(user: BatchUser, fargate: bool, reason: str) -> None:
    job_id = user.submit("echo up; sleep 600")
    user.wait_for_log(job_id, "up")
    user.local.reclaim(job_id, fargate=fargate)
    seen = user.wait(job_id)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", reason)
    assert "exitCode" not in seen["container"]


def test_a_job_with_a_retry_survives_the_loss_of_its_machine(user: BatchUser) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    script = 'echo up; [ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] || sleep 600'
    job_id = user.submit(script, retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    user.wait_for_log(job_id, "up")
    user.local.reclaim(job_id)
    seen = user.wait(job_id)
    assert seen["status"] == "SUCCEEDED"
    assert seen["attempts"][0]["statusReason"].startswith("Host EC2 (instance i-")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program", "x"), 'exec: "no-such-program": executable file not found in $PATH'),
        (("/no/such/program", "x"), "stat /no/such/program: no such file or directory"),
    ],
)
def test_a_command_that_does_not_exist(user: BatchUser, command: tuple[str, str], reason: str) -> None:
    seen = user.run(*command)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Task failed to start")
    assert seen["container"]["exitCode"] == 127
    assert seen["container"]["reason"].startswith("CannotStartContainerError: ")
    assert reason in seen["container"]["reason"]
    assert "startedAt" not in seen


def test_an_image_that_cannot_be_pulled(user: BatchUser) -> None:
    definition = user.define("unpullable", image="registry.invalid/some:tag")
    seen = user.run(jobDefinition=definition)
    assert (seen["status"], seen["statusReason"]) == ("FAILED", "Task failed to start")
    assert seen["container"]["reason"].startswith("CannotPullContainerError: ")
    assert "exitCode" not in seen["container"]
    assert "logStreamName" not in seen["container"]


def test_an_image_can_be_defined_to_fail(user: BatchUser) -> None:
    reason = "DockerTimeoutError: Could not transition to started; timed out after waiting 3m0s"
    image = user.local.add_image("slow-docker", fails=reason, code=1)
    seen = user.run(jobDefinition=user.define("slow-docker", image=image))
    assert (seen["container"]["reason"], seen["container"]["exitCode"]) == (reason, 1)


def test_an_image_can_have_a_working_directory(user: BatchUser, tmp_path: Path) -> None:
    image = user.local.add_image("worked-in", workdir=tmp_path)
    seen = user.run("pwd; echo $HOME", jobDefinition=user.define("worked-in", image=image))
    where, home = user.log(seen["container"])
    assert where == str(tmp_path)
    assert home != where


def test_an_entrypoint_can_ignore_the_command(user: BatchUser) -> None:
    image = user.local.add_image("deaf", entrypoint=("sh", "-c", "echo serving"))
    seen = user.run("echo mine; exit 3", jobDefinition=user.define("deaf", image=image))
    assert seen["status"] == "SUCCEEDED"
    assert user.log(seen["container"]) == ["serving"]


def test_secrets_come_from_secrets_manager_and_parameter_store(user: BatchUser) -> None:
    plain = user.secrets.create_secret(Name=f"{user.caller}-plain", SecretString="two words")["ARN"]
    keyed = user.secrets.create_secret(Name=f"{user.caller}-keyed", SecretString='{"key": "inner"}')["ARN"]
    user.parameters.put_parameter(Name=f"/{user.caller}/p", Value="parameter", Type="SecureString")
    sources = {"PLAIN": plain, "KEYED": f"{keyed}:key::", "PARAMETER": f"/{user.caller}/p"}
    secrets = [{"name": name, "valueFrom": source} for name, source in sources.items()]
    definition = user.define("secretive", secrets=secrets)
    seen = user.run('echo "$PLAIN,$KEYED,$PARAMETER"', jobDefinition=definition)
    assert user.log(seen["container"]) == ["two words,inner,parameter"]
    assert seen["container"]["secrets"] == secrets
    assert "two words" not in str(seen)


def test_a_job_with_a_missing_secret_does_not_start(user: BatchUser) -> None:
    arn = f"arn:aws:secretsmanager:{user.local.region}:123456789012:secret:no-such-secret-AbCdEf"
    definition = user.define("unknown-secret", secrets=[{"name": "S", "valueFrom": arn}])
    seen = user.run("true", "x", jobDefinition=definition)
    assert seen["container"]["reason"].startswith("ResourceInitializationError: unable to pull secrets")


@pytest.mark.parametrize("reason", ["CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none of [p5]", ""])
def test_a_stuck_queue_has_its_reason_until_it_is_released(
    user: BatchUser, queue: Callable[..., str], reason: str
) -> None:
    job_id = user.submit("true", "x", jobQueue=queue(stuck=reason))
    user.wait(job_id, "RUNNABLE")
    wait_until(lambda: user.look(job_id).get("statusReason", "") == reason, "the reason")
    assert "startedAt" not in user.look(job_id)
    queue(stuck=None)
    assert user.wait(job_id)["status"] == "SUCCEEDED"


def test_a_queue_can_cancel_stuck_jobs(user: BatchUser, queue: Callable[..., str]) -> None:
    reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too much"
    seen = user.run("true", "x", jobQueue=queue(stuck=reason, give_up=0.1))
    assert seen["statusReason"] == f"Canceled by JobStateTimeLimit action due to reason: {reason}"
    assert seen["attempts"] == []


def test_a_job_that_is_too_large_waits_with_a_reason(user: BatchUser) -> None:
    wanted = [{"type": "GPU", "value": "9"}]
    job_id = user.submit("true", "x", overrides={"resourceRequirements": wanted})
    wait_until(lambda: "statusReason" in user.look(job_id), "a reason")
    assert user.look(job_id)["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - ")
    user.batch.terminate_job(jobId=job_id, reason="enough")
    assert user.wait(job_id)["status"] == "FAILED"
