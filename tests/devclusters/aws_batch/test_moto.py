"""The internals of moto that the local AWS Batch uses.

A failure means that moto has changed; see moto_internals.py.
"""

from __future__ import annotations

import time
from importlib import metadata

import pytest

from pytest_clusterjobs.devclusters.aws_batch import moto_internals

CHANGED = (
    "moto {version} differs from 5.2, which pytest_clusterjobs/devclusters/aws_batch/moto_internals.py needs: {what}. "
    "Keep the pin in pyproject.toml, or adapt that module and this test."
)
PLACE = (moto_internals.DEFAULT_ACCOUNT_ID, "us-east-1")


def changed(what: str) -> str:
    return CHANGED.format(version=metadata.version("moto"), what=what)


@pytest.fixture(scope="module")
def control() -> moto_internals.MotoClient:
    return moto_internals.MotoClient(moto_internals.application())


def test_the_version_of_moto_is_the_pinned_one() -> None:
    assert metadata.version("moto").startswith("5.2."), changed("another version is installed")


def test_queues_and_environments(control: moto_internals.MotoClient) -> None:
    what = changed("its API no longer creates job queues in this way")
    control.create_role(*PLACE, "canary")
    environment = {"computeEnvironmentName": "canary", "type": "UNMANAGED", "state": "ENABLED"}
    role = f"arn:aws:iam::{moto_internals.DEFAULT_ACCOUNT_ID}:role/canary"
    made = control.call(*PLACE, "batch", "/v1/createcomputeenvironment", {**environment, "serviceRole": role})
    order = [{"order": 1, "computeEnvironment": made["computeEnvironmentArn"]}]
    queue = {"jobQueueName": "canary", "state": "ENABLED", "priority": 1, "computeEnvironmentOrder": order}
    control.call(*PLACE, "batch", "/v1/createjobqueue", queue)
    (found,) = control.call(*PLACE, "batch", "/v1/describejobqueues", {"jobQueues": ["canary"]})["jobQueues"]
    assert found["state"] == "ENABLED", what
    assert found["jobQueueArn"].endswith(":job-queue/canary"), what


def test_logs_that_are_written_directly_are_read_by_the_api(control: moto_internals.MotoClient) -> None:
    what = changed("GetLogEvents does not return what was written to its logs backend")
    logs = moto_internals.Logs()
    logs.open(*PLACE, "canary", "stream")
    logs.open(*PLACE, "canary", "stream")
    now = int(time.time() * 1000)
    logs.put(*PLACE, "canary", "stream", [(now, "one"), (now, "two"), (now + 1, "three")])
    logs.put(*PLACE, "canary", "no such stream", [(now, "lost")])
    name = {"logGroupName": "canary", "logStreamName": "stream"}

    def page(**about: object) -> dict[str, object]:
        return control.call(*PLACE, "logs", "/", {**name, **about}, "Logs_20140328.GetLogEvents")

    events = page(startFromHead=True)["events"]
    assert isinstance(events, list)
    assert [(event["timestamp"], event["message"]) for event in events] == [
        (now, "one"),
        (now, "two"),
        (now + 1, "three"),
    ], what
    token = changed("its tokens are no longer indices of events")
    first = page(startFromHead=True, limit=2)
    assert moto_internals.place_of(str(first["nextForwardToken"])) == 1, token
    assert first["nextForwardToken"] == moto_internals.token_of("f", 1), token
    assert first["nextBackwardToken"] == moto_internals.token_of("b", 0), token
    second = page(nextToken=first["nextForwardToken"])
    assert second["events"] == events[2:], token
    assert page(nextToken=second["nextForwardToken"])["nextForwardToken"] == second["nextForwardToken"], token


def test_secrets(control: moto_internals.MotoClient) -> None:
    what = changed("its Secrets Manager or Parameter Store responds differently")
    made = control.call(
        *PLACE,
        "secretsmanager",
        "/",
        {"Name": "canary", "SecretString": "x"},
        "secretsmanager.CreateSecret",
    )
    body = {"SecretId": made["ARN"]}
    found = control.call(*PLACE, "secretsmanager", "/", body, "secretsmanager.GetSecretValue")
    assert found["SecretString"] == "x", what
    with pytest.raises(LookupError):
        control.call(*PLACE, "ssm", "/", {"Name": "none"}, "AmazonSSM.GetParameter")


def test_accounts_are_separate(control: moto_internals.MotoClient) -> None:
    what = changed(f"the header {moto_internals.ACCOUNT_HEADER} no longer selects an account")
    logs = moto_internals.Logs()
    logs.open("210987654321", "us-east-1", "theirs", "stream")
    target, body = "Logs_20140328.DescribeLogGroups", {"logGroupNamePrefix": "theirs"}
    assert control.call(*PLACE, "logs", "/", body, target)["logGroups"] == [], what
    theirs = control.call("210987654321", "us-east-1", "logs", "/", body, target)["logGroups"]
    assert [group["logGroupName"] for group in theirs] == ["theirs"], what
