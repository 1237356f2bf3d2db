"""Mistakes that are reported at collection, because boto3 accepts them and AWS Batch reports them too
late."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest

from pytest_clusterjobs.backends.aws_batch import TYPE
from pytest_clusterjobs.backends.aws_batch.request import MAX_OVERRIDES_BYTES
from pytest_clusterjobs.backends.aws_batch.request import overrides
from pytest_clusterjobs.backends.aws_batch.request import request
from pytest_clusterjobs.backends.aws_batch.request import size
from pytest_clusterjobs.backends.aws_batch.settings import AwsBatchSettings
from pytest_clusterjobs.backends.limits import excesses
from pytest_clusterjobs.backends.protocol import Unset
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.backends.settings import FaultySettings
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model.token import STAND_IN

SITE = {"queue": "q", "job_definition": "jd", "multinode_job_definition": "mn"}


def problems(spec: JobSpec, **settings: Any) -> list[str]:
    return list(map(str, TYPE.check(spec, TYPE.validate({**SITE, **settings}))))


def options(**options: Any) -> list[str]:
    return problems(JobSpec("true", options=options))


def test_a_plain_job_has_no_problems() -> None:
    assert problems(JobSpec("true")) == problems(JobSpec("true", nodes=8)) == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"queue": 3}, "queue must be text without control characters, not 3"),
        ({"region": "a\nb"}, r"region must be text without control characters, not 'a\\nb'"),
        ({"linger": -1}, "linger must be seconds"),
        ({"find_settle": True}, "find_settle must be seconds"),
        ({"submissions_per_second": 0}, "submissions_per_second must be a number above 0"),
        ({"scheduling_priority": 10_000}, "scheduling_priority must be a whole number, 0 to 9999"),
        ({"propagate_tags": "yes"}, "propagate_tags must be true or false"),
        ({"container": []}, "container must be a table"),
        ({"tags": 1}, "tags must be a table of text, not 1"),
        ({"tags": {"a": 1}}, "tags.a must be text, not 1"),
        ({"secrets": {"TOKEN": "hunter2"}}, "secrets.TOKEN must be the ARN"),
        ({"secrets": {"TOKEN": ["hunter2"]}}, "secrets.TOKEN must be the ARN"),
        ({"secrets": ["hunter2"]}, "secrets must be a table of ARNs by the names of secrets$"),
        ({"secret": {"TOKEN": "hunter2"}}, "unknown setting 'secret', did you mean 'secrets'?"),
    ],
)
def test_an_invalid_site_setting_is_rejected(raw: Mapping[str, Any], message: str) -> None:
    with pytest.raises(FaultySettings, match=message) as caught:
        TYPE.validate({**SITE, **raw})
    assert "hunter2" not in "".join(format_exception(caught.value))


def unset(spec: JobSpec, **settings: Any) -> list[str]:
    return [each.name for each in TYPE.check(spec, TYPE.validate(settings)) if isinstance(each, Unset)]


def test_missing_site_settings_are_reported() -> None:
    one, two = JobSpec("true"), JobSpec("true", nodes=2)
    assert unset(one) == ["queue", "job_definition"]
    assert unset(two) == ["queue", "multinode_job_definition"]
    assert unset(one, queue="q", multinode_job_definition="mn") == ["job_definition"]
    assert unset(two, queue="q", job_definition="jd") == ["multinode_job_definition"]
    roles = {"executionRoleArn": "arn:aws:iam::1:role/x"}
    only_roles = TYPE.validate({"queue": "q", "container": roles})
    assert ["image: required" in str(each) for each in TYPE.check(one, only_roles)] == [True]
    assert list(TYPE.check(JobSpec("true", image="python:3"), only_roles)) == []


def test_options_replace_site_settings() -> None:
    spec = JobSpec("true", options={"jobQueue": "q", "jobDefinition": "jd"})
    assert list(TYPE.check(spec, TYPE.validate({}))) == []
    assert unset(JobSpec("true", options={"jobQueue": "q"})) == ["job_definition"]


def test_a_matrix_reports_all_missing_site_settings_once(tmp_path: Path) -> None:
    matrix = tmp_path / "m.yaml"
    matrix.write_text(
        "recipes: {a: x, b: {run: y, options: {aws-batch: {tags: 3}}}}\nbackend: aws-batch\nnodes: [1, 2]\n"
        "conditions: {c: {}, d: {}}"
    )
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(matrix, rootdir=tmp_path, site=Site())
    options, settings = [f"{each.line}:{each.col}: {each.message}" for each in caught.value.problems]
    assert options.startswith(
        "1:50: backend aws-batch: options.aws-batch: tags must be a mapping of text, not 3 (cells b-1n-c"
    )
    assert settings == (
        "2:10: backend aws-batch: set queue (or jobQueue under options.aws-batch), job_definition (for one node, or"
        " jobDefinition under options.aws-batch) and multinode_job_definition (for several nodes, or jobDefinition under"
        " options.aws-batch) under [tool.clusterjobs.backends.aws-batch] in pyproject.toml (cells a-1n-c and 7 more)"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("arrayProperties", {"size": 3}, "use an axis"),
        ("jobName", "mine", "identifies the job later"),
        ("retryStrategy", {"attempts": 3}, "use max_restarts"),
        ("timeout", {"attemptDurationSeconds": 60}, "use max_runtime"),
        ("nodeOverrides", {}, "use nodes"),
        ("eksPropertiesOverride", {}, "one container on ECS"),
        ("ecsPropertiesOverride", {}, "one container on ECS"),
        ("schedulingPriorityOverride", -1, "0 to 9999"),
        ("schedulingPriorityOverride", True, "0 to 9999"),
        ("dependsOn", [{"jobId": "x"}] * 21, "at most 20"),
        ("dependsOn", ["x"], "of {jobId"),
        ("dependsOn", [{"jobId": "x", "type": "MAYBE"}], "of {jobId"),
        ("tags", {"a": 1}, "a mapping of text"),
        ("jobQueue", "", "must be text"),
        ("propagateTags", 1, "true or false"),
        ("instanceTypes", ["p5.48xlarge"], "for jobs of several nodes"),
        ("containerOverrides", {"command": ["x"]}, "use run"),
        ("containerOverrides", {"environment": []}, "use env"),
        ("containerOverrides", {"vcpus": 3}, "use resources.cpus"),
        ("containerOverrides", {"sidecar": 3}, "use instanceType"),
    ],
)
def test_an_invalid_option_is_rejected(name: str, value: Any, message: str) -> None:
    found = options(**{name: value})
    assert len(found) == 1 and message in found[0] and name in found[0]
    assert name in TYPE.options


def test_an_unknown_option_is_rejected() -> None:
    (found,) = options(sidecar={})
    assert found.startswith("options.aws-batch: sidecar is not an option: use one of ")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (JobSpec("true", resources=Resources(memory=1 << 20)), "at least 4MiB"),
        (JobSpec("true", env={"AWS_BATCH_JOB_ID": "x"}), "AWS reserves"),
        (JobSpec("true", secrets=("TOKEN",)), "has no ARN"),
        (JobSpec("x" * 9000), "move long scripts into the image"),
        (JobSpec("true", args=("ä" * 2000,)), "move long scripts"),
        (JobSpec("true", options={"tags": {f"t{n}": "" for n in range(48)}}), "AWS Batch allows 50"),
        (JobSpec("true", options={"tags": {"a": "100%"}}), "letters, digits, spaces"),
        (JobSpec("true", options={"parameters": {"a": "x" * 30_000}}), "the request takes"),
    ],
)
def test_a_job_beyond_a_limit_is_rejected(spec: JobSpec, message: str) -> None:
    found = problems(spec)
    assert len(found) == 1 and message in found[0]


def test_a_job_is_started_at_most_ten_times() -> None:
    assert TYPE.capabilities is not None
    can = TYPE.capabilities(TYPE.validate(SITE))
    assert list(excesses(JobSpec("true", max_restarts=9), can, "aws-batch")) == []
    (found,) = excesses(JobSpec("true", max_restarts=10), can, "aws-batch")
    assert found.message() == "backend aws-batch starts a job again 9 times at most, max_restarts is 10"


def test_a_secret_needs_an_arn_and_must_not_be_in_env() -> None:
    arns = {"TOKEN": "arn:aws:secretsmanager:eu-west-1:1:secret:t"}
    assert problems(JobSpec("true", secrets=("TOKEN",)), secrets=arns) == []
    assert problems(JobSpec("true", secrets=("TOKEN",), env={"TOKEN": "x"}), secrets=arns)


@pytest.mark.parametrize("nodes", [1, 4])
def test_the_longest_accepted_script_fits(nodes: int) -> None:
    low, high = 0, MAX_OVERRIDES_BYTES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if problems(JobSpec("x" * middle, nodes=nodes)) else (middle, high)
    arguments = request(
        JobSpec("x" * low, nodes=nodes), STAND_IN, settings=AwsBatchSettings.model_validate(SITE)
    )
    assert size(overrides(arguments)) <= MAX_OVERRIDES_BYTES - 512
    # What is left for the job's own script.
    assert low > 2500
