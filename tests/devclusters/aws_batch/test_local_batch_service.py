"""What the local AWS Batch refuses, lists and shows, and how it fails on demand."""

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

from tests.devclusters.aws_batch.shop import clients
from tests.devclusters.aws_batch.shop import Json
from tests.devclusters.aws_batch.shop import Shop
from tests.devclusters.aws_batch.shop import wait_until


def refused(call: Callable[[], Any]) -> str:
    """The message of a ClientException."""
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == "ClientException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Message"])


def test_more_than_a_hundred_ids_are_refused_in_the_services_words(shop: Shop) -> None:
    ids = [str(uuid.uuid4()) for _ in range(101)]
    assert shop.batch.describe_jobs(jobs=ids[:100])["jobs"] == []
    message = refused(lambda: shop.batch.describe_jobs(jobs=ids))
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
def test_submissions_that_are_refused(shop: Shop, about: Json, words: str) -> None:
    assert words in refused(lambda: shop.submit("true", "x", **about))


@pytest.mark.parametrize("pattern", ["*Error", "Cannot*Error*", "Host EC2 (*", "Exit-code*"])
def test_patterns_have_only_plain_characters_and_a_star_at_the_end(shop: Shop, pattern: str) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": [{"onReason": pattern, "action": "RETRY"}]}
    message = refused(lambda: shop.submit("true", "x", retryStrategy=strategy))
    assert message == "Evaluate on exit condition contains restricted characters."


def test_overrides_that_are_too_long_fail_the_job_later(shop: Shop) -> None:
    fits = shop.run("true", "x" * 7000)
    assert fits["status"] == "SUCCEEDED"
    seen = shop.run("true", "x" * 8192)
    assert (seen["status"], seen["statusReason"]) == (
        "FAILED",
        "Container Overrides length must be at most 8192",
    )
    assert seen["attempts"] == []


def test_a_job_shows_how_it_was_submitted(shop: Shop) -> None:
    rules = [{"onExitCode": "9", "action": "RETRY"}]
    about: Json = {
        "retryStrategy": {"attempts": 2, "evaluateOnExit": rules},
        "timeout": {"attemptDurationSeconds": 90},
        "tags": {"run": "r1"},
        "propagateTags": True,
        "shareIdentifier": "team",
        "schedulingPriorityOverride": 5,
    }
    seen = shop.run("true", "x", **about)
    assert {name: seen[name] for name in about if name != "schedulingPriorityOverride"} == {
        name: value for name, value in about.items() if name != "schedulingPriorityOverride"
    }
    assert seen["schedulingPriority"] == 5
    assert seen["container"]["command"] == ["true", "x"]
    assert shop.batch.list_tags_for_resource(resourceArn=seen["jobArn"])["tags"] == {"run": "r1"}
    shop.batch.tag_resource(resourceArn=seen["jobArn"], tags={"more": "yes"})
    shop.batch.untag_resource(resourceArn=seen["jobArn"], tagKeys=["run"])
    assert shop.look(seen["jobId"])["tags"] == {"more": "yes"}


def test_definitions_have_revisions(shop: Shop) -> None:
    first, second = (
        shop.define("revised"),
        shop.define("revised", image="other", timeout={"attemptDurationSeconds": 70}),
    )
    assert (first.rsplit(":", 1)[1], second.rsplit(":", 1)[1]) == ("1", "2")
    seen = shop.run(jobDefinition="revised")
    assert (seen["jobDefinition"], seen["timeout"]) == (second, {"attemptDurationSeconds": 70})
    shop.batch.deregister_job_definition(jobDefinition=second)
    assert "not active" in refused(lambda: shop.submit(jobDefinition=second))
    assert shop.run(jobDefinition="revised")["jobDefinition"] == first
    found = shop.batch.describe_job_definitions(jobDefinitionName="revised", status="ACTIVE")[
        "jobDefinitions"
    ]
    assert [each["jobDefinitionArn"] for each in found] == [first]
    assert found[0]["containerProperties"]["image"] == "local"


def test_parameters_of_definitions(shop: Shop) -> None:
    shop.batch.register_job_definition(
        jobDefinitionName="greeter",
        type="container",
        parameters={"whom": "nobody"},
        containerProperties={"image": "local", "command": ["echo", "Ref::whom"], "vcpus": 1, "memory": 64},
    )
    assert shop.log(shop.run(jobDefinition="greeter")["container"]) == ["nobody"]
    assert shop.log(shop.run(jobDefinition="greeter", parameters={"whom": "you"})["container"]) == ["you"]


def test_what_is_listed(shop: Shop, queue: Callable[..., str]) -> None:
    name = queue()
    done = [shop.run("true", "x", jobQueue=name, jobName=f"Done-{number}")["jobId"] for number in range(3)]
    runs = shop.submit("sleep 600", jobQueue=name, jobName="runs", shareIdentifier="team")
    shop.wait(runs, "RUNNING")

    def listed(**about: Any) -> list[str]:
        found = shop.batch.list_jobs(jobQueue=name, **about)["jobSummaryList"]
        return [each["jobId"] for each in found]

    assert listed() == [runs], "nobody named a status"
    assert listed(jobStatus="SUCCEEDED") == done[::-1], "newest first"
    assert listed(filters=[{"name": "JOB_NAME", "values": ["DONE-*"]}]) == done[::-1]
    assert listed(filters=[{"name": "JOB_NAME", "values": ["done-1"]}]) == [done[1]]
    assert listed(filters=[{"name": "SHARE_IDENTIFIER", "values": ["te*"]}]) == [runs]
    later = [{"name": "AFTER_CREATED_AT", "values": [str(int((time.time() + 60) * 1000))]}]
    assert listed(filters=later) == []
    pages = shop.batch.get_paginator("list_jobs").paginate(
        jobQueue=name, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["jobSummaryList"]) for page in pages] == [2, 1]
    summary = shop.batch.list_jobs(jobQueue=name, jobStatus="SUCCEEDED")["jobSummaryList"][0]
    assert summary["container"] == {"exitCode": 0}
    assert "isTerminated" not in summary
    shop.batch.terminate_job(jobId=runs, reason="x")
    assert "Exactly one" in refused(lambda: shop.batch.list_jobs(jobStatus="FAILED"))


def test_parts_of_jobs_are_listed(shop: Shop) -> None:
    array = shop.run("true", "x", arrayProperties={"size": 2})["jobId"]
    found = shop.batch.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [each["arrayProperties"]["index"] for each in found] == [0, 1]
    several = shop.run("exit 4", nodes=1)["jobId"]
    (node,) = shop.batch.list_jobs(multiNodeJobId=several, jobStatus="FAILED")["jobSummaryList"]
    assert node["nodeProperties"] == {"isMainNode": True, "numNodes": 1, "nodeIndex": 0}
    assert node["container"]["exitCode"] == 4


@pytest.fixture
def impatient(shop: Shop) -> Shop:
    """The same user, whose boto3 asks only once."""
    once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
    return Shop(shop.local, shop.caller, clients(shop.local, shop.caller, config=once))


def test_errors_on_demand(impatient: Shop) -> None:
    local, caller = impatient.local, impatient.caller
    local.inject_fault("DescribeJobs", times=2, caller=caller)
    for _ in range(2):
        with pytest.raises(ClientError, match=r"TooManyRequestsException.*Too Many Requests") as caught:
            impatient.look("x")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert impatient.look(str(uuid.uuid4())) == {}
    local.inject_fault("SubmitJob", status=500, caller=caller)
    with pytest.raises(ClientError, match="ServerException"):
        impatient.submit("true", "x")
    local.inject_fault("*", status=403, code="ExpiredTokenException", message="expired", caller=caller)
    with pytest.raises(ClientError, match=r"ExpiredTokenException.*expired"):
        impatient.logs.describe_log_groups()


def test_faults_are_meant_for_what_is_asked_about(shop: Shop) -> None:
    first, second = shop.submit("true"), shop.submit("true")
    shop.local.deny("DescribeJobs", caller=shop.caller, about=first)
    for _ in range(3):
        with pytest.raises(ClientError, match="not authorized to perform: DescribeJobs") as refused:
            shop.batch.describe_jobs(jobs=[first])
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        assert shop.batch.describe_jobs(jobs=[second])["jobs"]
    shop.local.clear_faults(caller=shop.caller)
    assert shop.batch.describe_jobs(jobs=[first])["jobs"]


def test_faults_are_meant_for_one_caller(shop: Shop) -> None:
    shop.local.inject_fault("DescribeJobs", status=500, times=100, caller=f"{shop.caller}other")
    assert shop.look(str(uuid.uuid4())) == {}


def test_boto3_rides_out_a_burst_of_429(shop: Shop) -> None:
    before = shop.local.calls(caller=shop.caller).get("describejobs", {"calls": 0, "throttled": 0})
    shop.local.inject_fault("DescribeJobs", times=1, caller=shop.caller)
    assert shop.look(str(uuid.uuid4())) == {}
    after = shop.local.calls(caller=shop.caller)["describejobs"]
    assert after == {"calls": before["calls"] + 2, "throttled": before["throttled"] + 1}


def test_a_lost_answer_is_a_job_all_the_same(impatient: Shop, queue: Callable[..., str]) -> None:
    name = queue()
    impatient.local.inject_fault("SubmitJob", status=0, after=True, caller=impatient.caller)
    with pytest.raises(ConnectionClosedError):
        impatient.submit("true", "x", jobQueue=name, jobName="twin")
    filters = [{"name": "JOB_NAME", "values": ["twin"]}]
    assert len(impatient.batch.list_jobs(jobQueue=name, filters=filters)["jobSummaryList"]) == 1


def test_rates_can_be_limited(impatient: Shop) -> None:
    impatient.local.limit("ListJobs", 1, caller=impatient.caller)
    codes = []
    for _ in range(30):
        try:
            impatient.batch.list_jobs(jobQueue=impatient.local.queue)
            codes.append(200)
        except ClientError as error:
            codes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
    assert codes[0] == 200
    assert set(codes) == {200, 429}
    impatient.local.limit("ListJobs", None, caller=impatient.caller)
    impatient.batch.list_jobs(jobQueue=impatient.local.queue)


def test_answers_may_be_behind(shop: Shop, queue: Callable[..., str]) -> None:
    name = queue(lag=0.5)
    started = time.monotonic()
    job_id = shop.submit("true", "x", jobQueue=name)
    early, asked = shop.look(job_id), time.monotonic() - started
    assert early == {} or asked > 0.5
    seen = shop.wait(job_id)
    assert time.monotonic() - started >= 0.5
    assert seen["status"] == "SUCCEEDED"


def test_another_region_knows_nothing_of_it(shop: Shop) -> None:
    job_id = shop.run("true", "x")["jobId"]
    elsewhere = batch_client(shop, shop.local.access_key(), "eu-central-1")
    assert elsewhere.describe_jobs(jobs=[job_id])["jobs"] == []


def batch_client(shop: Shop, key: str, region: str) -> Any:
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="x", region_name=region)
    return session.client("batch", endpoint_url=shop.local.url)


def test_nobody_without_the_key_runs_anything(shop: Shop) -> None:
    stranger = batch_client(shop, "AKIAIOSFODNN7EXAMPLE", shop.local.region)
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        stranger.submit_job(jobName="x", jobQueue=shop.local.queue, jobDefinition=shop.local.definition)


def test_logs_are_live(shop: Shop) -> None:
    job_id = shop.submit("echo one; echo; printf two; sleep 0.5; echo; printf end; sleep 600")
    seen = shop.wait_for_log(job_id, "two")
    assert shop.look(job_id)["status"] == "RUNNING"
    assert shop.log(seen["container"]) == ["one", "two"]
    assert seen["container"]["logStreamName"].startswith("local/default/")
    shop.batch.terminate_job(jobId=job_id, reason="x")
    shop.wait(job_id)
    assert shop.log(seen["container"]) == ["one", "two", "end"]


def test_logs_may_be_late(shop: Shop, queue: Callable[..., str]) -> None:
    seen = shop.run("echo late", jobQueue=queue(log_delay=1.0))
    stream = {"logGroupName": "/aws/batch/job", "logStreamName": seen["container"]["logStreamName"]}

    def arrived() -> list[Json]:
        try:
            found: list[Json] = shop.logs.get_log_events(**stream)["events"]
            return found
        except shop.logs.exceptions.ResourceNotFoundException:
            return []

    assert [event["message"] for event in wait_until(arrived, "the log")] == ["late"]
    assert time.time() * 1000 >= seen["startedAt"] + 1000


def test_logs_go_where_the_definition_says(shop: Shop) -> None:
    options = {"awslogs-group": "/our/group", "awslogs-stream-prefix": "ours"}
    configuration = {"logDriver": "awslogs", "options": options}
    seen = shop.run("echo there", jobDefinition=shop.define("grouped", logConfiguration=configuration))
    assert seen["container"]["logConfiguration"] == configuration
    assert seen["container"]["logStreamName"].startswith("ours/default/")
    assert shop.log(seen["container"], "/our/group") == ["there"]
    silent = shop.define("silent", logConfiguration={"logDriver": "json-file"})
    assert "logStreamName" not in shop.run("echo lost", jobDefinition=silent)["container"]


def read_all(shop: Shop, stream: str, **about: Any) -> list[list[str]]:
    """All pages of a stream from its beginning, as anybody should read it."""
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        answer = shop.logs.get_log_events(
            logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True, **token, **about
        )
        pages.append([event["message"] for event in answer["events"]])
        if token.get("nextToken") == answer["nextForwardToken"]:
            return pages
        token = {"nextToken": answer["nextForwardToken"]}


def test_pages_of_logs(shop: Shop) -> None:
    stream = shop.run("seq 5")["container"]["logStreamName"]
    shop.local.page_logs(2, caller=shop.caller)
    assert read_all(shop, stream) == [["1", "2"], ["3", "4"], ["5"], []]
    last = shop.logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)
    assert [event["message"] for event in last["events"]] == ["4", "5"]
    shop.local.page_logs(2, empty=True, caller=shop.caller)
    assert read_all(shop, stream) == [[], ["1", "2"], [], ["3", "4"], [], ["5"], [], []]
    shop.local.page_logs(caller=shop.caller)
    assert read_all(shop, stream) == [["1", "2", "3", "4", "5"], []]


def test_a_page_of_logs_is_at_most_a_megabyte(shop: Shop) -> None:
    script = "for i in 1 2 3 4 5 6; do head -c 250000 /dev/zero | tr '\\0' $i; echo; done"
    pages = read_all(shop, shop.run(script)["container"]["logStreamName"])
    assert [[line[0] for line in page] for page in pages] == [["1", "2", "3", "4"], ["5", "6"], []]
