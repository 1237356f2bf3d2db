"""Requests to the local AWS Batch: rejections, lists, descriptions, and injected faults."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.exceptions import ConnectionClosedError

from tests.devclusters.aws_batch.batch_user import BatchUser
from tests.devclusters.aws_batch.batch_user import clients
from tests.devclusters.aws_batch.batch_user import Json
from tests.devclusters.aws_batch.batch_user import wait_until


def refused(call: Callable[[], Any]) -> str:
    """The message of a ClientException."""
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == "ClientException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Message"])


def test_more_than_a_hundred_ids_are_rejected_with_the_service_s_message(user: BatchUser) -> None:
    ids = [str(uuid.uuid4()) for _ in range(101)]
    assert user.batch.describe_jobs(jobs=ids[:100])["jobs"] == []
    message = refused(lambda: user.batch.describe_jobs(jobs=ids))
    assert "Maximum number of jobs supported is  100 ., RequestId: " in message


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"jobName": "two words"}, "Job name"),
        ({"jobName": "_x"}, "Job name"),
        ({"jobName": "x" * 129}, "Job name"),
        ({"jobQueue": "no-such-queue"}, "JobQueue no-such-queue not found"),
        ({"jobDefinition": "no-such-definition"}, "JobDefinition no-such-definition not found"),
        ({"jobDefinition": "local:77"}, "JobDefinition local:77 not found"),
        ({"timeout": {"attemptDurationSeconds": 59}}, "at least 60"),
        ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        ({"arrayProperties": {"size": 1}}, "between 2 and 10000"),
        ({"dependsOn": [{"jobId": str(uuid.UUID(int=7))}]}, "not found"),
        ({"overrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}}, "AWS_BATCH_X"),
        ({"overrides": {"resourceRequirements": [{"type": "MEMORY", "value": "3"}]}}, "at least 4"),
        ({"overrides": {"resourceRequirements": [{"type": "VCPU", "value": "many"}]}}, "VCPU"),
        ({"tags": {str(number): "x" for number in range(51)}}, "at most 50"),
        ({"schedulingPriorityOverride": 10000}, "between 0 and 9999"),
    ],
)
def test_invalid_submissions_are_rejected(user: BatchUser, about: Json, words: str) -> None:
    assert words in refused(lambda: user.submit("true", "x", **about))


@pytest.mark.parametrize("pattern", ["*Error", "Cannot*Error*", "Host EC2 (*", "Exit-code*"])
def test_patterns_have_only_plain_characters_and_a_star_at_the_end(user: BatchUser, pattern: str) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": [{"onReason": pattern, "action": "RETRY"}]}
    message = refused(lambda: user.submit("true", "x", retryStrategy=strategy))
    assert message == "Evaluate on exit condition contains restricted characters."


def test_overrides_that_are_too_long_fail_the_job_later(user: BatchUser) -> None:
    fits = user.run("true", "x" * 7000)
    assert fits["status"] == "SUCCEEDED"
    seen = user.run("true", "x" * 8192)
    assert (seen["status"], seen["statusReason"]) == (
        "FAILED",
        "Container Overrides length must be at most 8192",
    )
    assert seen["attempts"] == []


def test_a_job_shows_how_it_was_submitted(user: BatchUser) -> None:
    rules = [{"onExitCode": "9", "action": "RETRY"}]
    about: Json = {
        "retryStrategy": {"attempts": 2, "evaluateOnExit": rules},
        "timeout": {"attemptDurationSeconds": 90},
        "tags": {"run": "r1"},
        "propagateTags": True,
        "shareIdentifier": "team",
        "schedulingPriorityOverride": 5,
    }
    seen = user.run("true", "x", **about)
    assert {name: seen[name] for name in about if name != "schedulingPriorityOverride"} == {
        name: value for name, value in about.items() if name != "schedulingPriorityOverride"
    }
    assert seen["schedulingPriority"] == 5
    assert seen["container"]["command"] == ["true", "x"]
    assert user.batch.list_tags_for_resource(resourceArn=seen["jobArn"])["tags"] == {"run": "r1"}
    user.batch.tag_resource(resourceArn=seen["jobArn"], tags={"more": "yes"})
    user.batch.untag_resource(resourceArn=seen["jobArn"], tagKeys=["run"])
    assert user.look(seen["jobId"])["tags"] == {"more": "yes"}


def test_definitions_have_revisions(user: BatchUser) -> None:
    first, second = (
        user.define("revised"),
        user.define("revised", image="other", timeout={"attemptDurationSeconds": 70}),
    )
    assert (first.rsplit(":", 1)[1], second.rsplit(":", 1)[1]) == ("1", "2")
    seen = user.run(jobDefinition="revised")
    assert (seen["jobDefinition"], seen["timeout"]) == (second, {"attemptDurationSeconds": 70})
    user.batch.deregister_job_definition(jobDefinition=second)
    assert "not active" in refused(lambda: user.submit(jobDefinition=second))
    assert user.run(jobDefinition="revised")["jobDefinition"] == first
    found = user.batch.describe_job_definitions(jobDefinitionName="revised", status="ACTIVE")[
        "jobDefinitions"
    ]
    assert [each["jobDefinitionArn"] for each in found] == [first]
    assert found[0]["containerProperties"]["image"] == "local"


def test_parameters_of_definitions(user: BatchUser) -> None:
    user.batch.register_job_definition(
        jobDefinitionName="greeter",
        type="container",
        parameters={"whom": "nobody"},
        containerProperties={"image": "local", "command": ["echo", "Ref::whom"], "vcpus": 1, "memory": 64},
    )
    assert user.log(user.run(jobDefinition="greeter")["container"]) == ["nobody"]
    assert user.log(user.run(jobDefinition="greeter", parameters={"whom": "you"})["container"]) == ["you"]


def test_jobs_of_a_queue_are_listed(user: BatchUser, queue: Callable[..., str]) -> None:
    name = queue()
    done = [user.run("true", "x", jobQueue=name, jobName=f"Done-{number}")["jobId"] for number in range(3)]
    runs = user.submit("sleep 600", jobQueue=name, jobName="runs", shareIdentifier="team")
    user.wait(runs, "RUNNING")

    def listed(**about: Any) -> list[str]:
        found = user.batch.list_jobs(jobQueue=name, **about)["jobSummaryList"]
        return [each["jobId"] for each in found]

    assert listed() == [runs], "running jobs are the default"
    assert listed(jobStatus="SUCCEEDED") == done[::-1], "newest first"
    assert listed(filters=[{"name": "JOB_NAME", "values": ["DONE-*"]}]) == done[::-1]
    assert listed(filters=[{"name": "JOB_NAME", "values": ["done-1"]}]) == [done[1]]
    assert listed(filters=[{"name": "SHARE_IDENTIFIER", "values": ["te*"]}]) == [runs]
    later = [{"name": "AFTER_CREATED_AT", "values": [str(int((time.time() + 60) * 1000))]}]
    assert listed(filters=later) == []
    pages = user.batch.get_paginator("list_jobs").paginate(
        jobQueue=name, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["jobSummaryList"]) for page in pages] == [2, 1]
    summary = user.batch.list_jobs(jobQueue=name, jobStatus="SUCCEEDED")["jobSummaryList"][0]
    assert summary["container"] == {"exitCode": 0}
    assert "isTerminated" not in summary
    user.batch.terminate_job(jobId=runs, reason="x")
    assert "Exactly one" in refused(lambda: user.batch.list_jobs(jobStatus="FAILED"))


def test_parts_of_jobs_are_listed(user: BatchUser) -> None:
    array = user.run("true", "x", arrayProperties={"size": 2})["jobId"]
    found = user.batch.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [each["arrayProperties"]["index"] for each in found] == [0, 1]
    several = user.run("exit 4", nodes=1)["jobId"]
    (node,) = user.batch.list_jobs(multiNodeJobId=several, jobStatus="FAILED")["jobSummaryList"]
    assert node["nodeProperties"] == {"isMainNode": True, "numNodes": 1, "nodeIndex": 0}
    assert node["container"]["exitCode"] == 4


@pytest.fixture
def without_retries(user: BatchUser) -> BatchUser:
    """The same user, with a boto3 that does not retry."""
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    return BatchUser(user.local, user.caller, clients(user.local, user.caller, config=once))


def test_injected_errors(without_retries: BatchUser) -> None:
    local, caller = without_retries.local, without_retries.caller
    local.inject_fault("DescribeJobs", times=2, caller=caller)
    for _ in range(2):
        with pytest.raises(ClientError, match=r"TooManyRequestsException.*Too Many Requests") as caught:
            without_retries.look("x")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert without_retries.look(str(uuid.uuid4())) == {}
    local.inject_fault("SubmitJob", status=500, caller=caller)
    with pytest.raises(ClientError, match="ServerException"):
        without_retries.submit("true", "x")
    local.inject_fault("*", status=403, code="ExpiredTokenException", message="expired", caller=caller)
    with pytest.raises(ClientError, match=r"ExpiredTokenException.*expired"):
        without_retries.logs.describe_log_groups()


def test_faults_can_be_limited_to_an_object(user: BatchUser) -> None:
    first, second = user.submit("true"), user.submit("true")
    user.local.deny("DescribeJobs", caller=user.caller, about=first)
    for _ in range(3):
        with pytest.raises(ClientError, match="not authorized to perform: DescribeJobs") as refused:
            user.batch.describe_jobs(jobs=[first])
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        assert user.batch.describe_jobs(jobs=[second])["jobs"]
    user.local.clear_faults(caller=user.caller)
    assert user.batch.describe_jobs(jobs=[first])["jobs"]


def test_faults_can_be_limited_to_a_caller(user: BatchUser) -> None:
    user.local.inject_fault("DescribeJobs", status=500, times=100, caller=f"{user.caller}other")
    assert user.look(str(uuid.uuid4())) == {}


def test_boto3_retries_after_429(user: BatchUser) -> None:
    before = user.local.calls(caller=user.caller).get("describejobs", {"calls": 0, "throttled": 0})
    user.local.inject_fault("DescribeJobs", times=1, caller=user.caller)
    assert user.look(str(uuid.uuid4())) == {}
    after = user.local.calls(caller=user.caller)["describejobs"]
    assert after == {"calls": before["calls"] + 2, "throttled": before["throttled"] + 1}


def test_a_lost_response_is_a_job_all_the_same(without_retries: BatchUser, queue: Callable[..., str]) -> None:
    name = queue()
    without_retries.local.inject_fault("SubmitJob", status=0, after=True, caller=without_retries.caller)
    with pytest.raises(ConnectionClosedError):
        without_retries.submit("true", "x", jobQueue=name, jobName="duplicate")
    filters = [{"name": "JOB_NAME", "values": ["duplicate"]}]
    assert len(without_retries.batch.list_jobs(jobQueue=name, filters=filters)["jobSummaryList"]) == 1


def test_rates_can_be_limited(without_retries: BatchUser) -> None:
    without_retries.local.limit("ListJobs", 1, caller=without_retries.caller)
    codes = []
    for _ in range(30):
        try:
            without_retries.batch.list_jobs(jobQueue=without_retries.local.queue)
            codes.append(200)
        except ClientError as error:
            codes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
    assert codes[0] == 200
    assert set(codes) == {200, 429}
    without_retries.local.limit("ListJobs", None, caller=without_retries.caller)
    without_retries.batch.list_jobs(jobQueue=without_retries.local.queue)


def test_responses_can_be_late(user: BatchUser, queue: Callable[..., str]) -> None:
    name = queue(lag=0.5)
    started = time.monotonic()
    job_id = user.submit("true", "x", jobQueue=name)
    early, requested = user.look(job_id), time.monotonic() - started
    assert early == {} or requested > 0.5
    seen = user.wait(job_id)
    assert time.monotonic() - started >= 0.5
    assert seen["status"] == "SUCCEEDED"


def test_another_region_has_no_such_queue(user: BatchUser) -> None:
    job_id = user.run("true", "x")["jobId"]
    elsewhere = batch_client(user, user.local.access_key(), "eu-central-1")
    assert elsewhere.describe_jobs(jobs=[job_id])["jobs"] == []


def batch_client(user: BatchUser, key: str, region: str) -> Any:
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="x", region_name=region)
    return session.client("batch", endpoint_url=user.local.url)


def test_requests_without_the_key_are_rejected(user: BatchUser) -> None:
    stranger = batch_client(user, "AKIAIOSFODNN7EXAMPLE", user.local.region)
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        stranger.submit_job(jobName="x", jobQueue=user.local.queue, jobDefinition=user.local.definition)


def test_logs_are_live(user: BatchUser) -> None:
    job_id = user.submit("echo one; echo; printf two; sleep 0.5; echo; printf end; sleep 600")
    seen = user.wait_for_log(job_id, "two")
    assert user.look(job_id)["status"] == "RUNNING"
    assert user.log(seen["container"]) == ["one", "two"]
    assert seen["container"]["logStreamName"].startswith("local/default/")
    user.batch.terminate_job(jobId=job_id, reason="x")
    user.wait(job_id)
    assert user.log(seen["container"]) == ["one", "two", "end"]


def test_logs_can_be_late(user: BatchUser, queue: Callable[..., str]) -> None:
    seen = user.run("echo late", jobQueue=queue(log_delay=1.0))
    stream = {"logGroupName": "/aws/batch/job", "logStreamName": seen["container"]["logStreamName"]}

    def arrived() -> list[Json]:
        try:
            found: list[Json] = user.logs.get_log_events(**stream)["events"]
            return found
        except user.logs.exceptions.ResourceNotFoundException:
            return []

    assert [event["message"] for event in wait_until(arrived, "the log")] == ["late"]
    assert time.time() * 1000 >= seen["startedAt"] + 1000


def test_logs_go_to_the_group_of_the_definition(user: BatchUser) -> None:
    options = {"awslogs-group": "/our/group", "awslogs-stream-prefix": "ours"}
    configuration = {"logDriver": "awslogs", "options": options}
    seen = user.run("echo there", jobDefinition=user.define("grouped", logConfiguration=configuration))
    assert seen["container"]["logConfiguration"] == configuration
    assert seen["container"]["logStreamName"].startswith("ours/default/")
    assert user.log(seen["container"], "/our/group") == ["there"]
    silent = user.define("silent", logConfiguration={"logDriver": "json-file"})
    assert "logStreamName" not in user.run("echo lost", jobDefinition=silent)["container"]


def read_all(user: BatchUser, stream: str, **about: Any) -> list[list[str]]:
    """All pages of a stream, from its beginning."""
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        answer = user.logs.get_log_events(
            logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True, **token, **about
        )
        pages.append([event["message"] for event in answer["events"]])
        if token.get("nextToken") == answer["nextForwardToken"]:
            return pages
        token = {"nextToken": answer["nextForwardToken"]}


def test_pages_of_logs(user: BatchUser) -> None:
    stream = user.run("seq 5")["container"]["logStreamName"]
    user.local.page_logs(2, caller=user.caller)
    assert read_all(user, stream) == [["1", "2"], ["3", "4"], ["5"], []]
    last = user.logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)
    assert [event["message"] for event in last["events"]] == ["4", "5"]
    user.local.page_logs(2, empty=True, caller=user.caller)
    assert read_all(user, stream) == [[], ["1", "2"], [], ["3", "4"], [], ["5"], [], []]
    user.local.page_logs(caller=user.caller)
    assert read_all(user, stream) == [["1", "2", "3", "4", "5"], []]


def test_a_page_of_logs_is_at_most_a_megabyte(user: BatchUser) -> None:
    script = "for i in 1 2 3 4 5 6; do head -c 250000 /dev/zero | tr '\\0' $i; echo; done"
    pages = read_all(user, user.run(script)["container"]["logStreamName"])
    assert [[line[0] for line in page] for page in pages] == [["1", "2", "3", "4"], ["5", "6"], []]
