"""URLs of the console's pages, compared with URLs that are known to work."""

from __future__ import annotations

import boto3
import pytest

from pytest_clusterjobs.backends.aws_batch.links import job_page
from pytest_clusterjobs.backends.aws_batch.links import log_page

STREAM = "jd/default/7c7cc0de7c7cc0de7c7cc0de7c7cc0de"
TAIL = "$252Faws$252Fbatch$252Fjob/log-events/jd$252Fdefault$252F7c7cc0de7c7cc0de7c7cc0de7c7cc0de"
JOB = "0d3d8a1e-5a8f-4f3e-9d4b-0c5a4b1e2f3a"

HOSTS = [
    ("us-east-1", "us-east-1.console.aws.amazon.com"),
    ("eu-west-1", "eu-west-1.console.aws.amazon.com"),
    ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
    ("eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
]


def partition(region: str) -> str:
    """As botocore knows it."""
    client = boto3.client("batch", region_name=region, aws_access_key_id="x", aws_secret_access_key="x")
    found = str(client.meta.partition)
    client.close()
    return found


@pytest.mark.parametrize(("region", "host"), HOSTS)
def test_the_url_of_a_log_page(region: str, host: str) -> None:
    link = f"https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{TAIL}"
    assert log_page(partition(region), region, "/aws/batch/job", STREAM) == link


@pytest.mark.parametrize(("region", "host"), HOSTS)
def test_the_url_of_a_job_page(region: str, host: str) -> None:
    link = f"https://{host}/batch/home?region={region}#jobs/detail/{JOB}"
    assert job_page(partition(region), region, JOB) == link


@pytest.mark.parametrize("region", ["us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"])
def test_isolated_partitions_have_no_pages(region: str) -> None:
    assert log_page(partition(region), region, "/aws/batch/job", STREAM) is None
    assert job_page(partition(region), region, JOB) is None


def test_special_characters_of_a_name_are_quoted_twice() -> None:
    link = log_page("aws", "us-east-1", "/g", "a/b/[$LATEST]0 %")
    assert link is not None and link.endswith("log-events/a$252Fb$252F$255B$2524LATEST$255D0$2520$2525")


def test_ids_of_nodes_and_array_jobs_are_quoted() -> None:
    assert str(job_page("aws", "us-east-1", "j#1")).endswith("#jobs/detail/j%231")
    assert str(job_page("aws", "us-east-1", "j:1")).endswith("#jobs/detail/j%3A1")
