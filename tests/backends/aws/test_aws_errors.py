"""Whatever boto3 raises is one line that says what to do, and holds nothing secret."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto

from pytest_clusterjobs.backends.aws_batch.errors import Denied
from pytest_clusterjobs.backends.aws_batch.errors import NoSuchCall
from pytest_clusterjobs.backends.aws_batch.errors import NotThere
from pytest_clusterjobs.backends.aws_batch.errors import SiteTrouble
from pytest_clusterjobs.backends.aws_batch.errors import translated
from pytest_clusterjobs.backends.aws_batch.errors import Unreachable
from pytest_clusterjobs.backends.aws_batch.errors import Unusable
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled


def answered(code: str, status: int, message: str = "words") -> boto.ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, "SubmitJob")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (boto.NoCredentialsError(), SiteTrouble, "credentials"),
        (
            boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            SiteTrouble,
            "AWS_SECRET",
        ),
        (boto.NoRegionError(), SiteTrouble, "AWS_DEFAULT_REGION"),
        (boto.ProfileNotFound(profile="nobody"), SiteTrouble, "nobody"),
        (boto.UnauthorizedSSOTokenError(), SiteTrouble, "aws sso login"),
        (answered("ExpiredTokenException", 400), SiteTrouble, "expired"),
        (answered("UnrecognizedClientException", 403), SiteTrouble, "does not know this access key"),
        (
            answered("AccessDeniedException", 403, "not authorized to perform: batch:SubmitJob"),
            Denied,
            "batch:SubmitJob",
        ),
        (answered("ClientException", 404, "JobQueue q not found."), Unusable, "JobQueue q"),
        (
            answered("ClientException", 400, "Job definition x:1 is not in VALID status"),
            Unusable,
            "not in VALID",
        ),
        (answered("ClientException", 400, "size must be at most"), SubmissionRejected, "size must be"),
        (answered("TooManyRequestsException", 429), Throttled, "words"),
        (answered("", 429), Throttled, "words"),
        (answered("ServerException", 500), BackendError, "HTTP 500"),
        (answered("404", 404), NoSuchCall, "does not know this call"),
        (answered("ResourceNotFoundException", 400), NotThere, "words"),
        (boto.EndpointConnectionError(endpoint_url="https://x"), Unreachable, "https://x"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), BackendError, "timeout"),
        (boto.ParamValidationError(report="Unknown parameter"), SubmissionRejected, "Unknown parameter"),
        (OSError("no route"), BackendError, "no route"),
    ],
)
def test_each_kind(error: Exception, kind: type[BackendError], words: str) -> None:
    found = translated(error, "SubmitJob")
    assert type(found) is kind
    assert words in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "error", [answered("ServerException", 503), boto.ReadTimeoutError(endpoint_url="https://x")]
)
def test_a_lost_answer_is_no_refusal(error: Exception) -> None:
    assert not isinstance(translated(error, "SubmitJob"), SubmissionRejected)


def test_a_signature_s_words_are_not_told() -> None:
    words = (
        "The request signature does not match. The Canonical String was 'POST x-amz-security-token:IQoJb3Jp'"
    )
    told = str(translated(answered("InvalidSignatureException", 403, words), "SubmitJob"))
    assert "IQoJb3Jp" not in told and "secret key" in told


def test_words_are_one_line_and_not_long() -> None:
    told = str(translated(answered("ClientException", 400, "line\nline\t" + "x" * 5000), "SubmitJob"))
    assert "\n" not in told and len(told) < 600
