"""Each error of boto3 becomes one line with a fix, and without secrets."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto

from pytest_clusterjobs.backends.aws_batch.errors import AccessDenied
from pytest_clusterjobs.backends.aws_batch.errors import AccountError
from pytest_clusterjobs.backends.aws_batch.errors import LogStreamNotFound
from pytest_clusterjobs.backends.aws_batch.errors import OperationNotSupported
from pytest_clusterjobs.backends.aws_batch.errors import translated
from pytest_clusterjobs.backends.aws_batch.errors import Unreachable
from pytest_clusterjobs.backends.aws_batch.errors import UnusableTarget
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled


def answered(code: str, status: int, message: str = "some text") -> boto.ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, "SubmitJob")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (boto.NoCredentialsError(), AccountError, "credentials"),
        (
            boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            AccountError,
            "AWS_SECRET",
        ),
        (boto.NoRegionError(), AccountError, "AWS_DEFAULT_REGION"),
        (boto.ProfileNotFound(profile="missing"), AccountError, "missing"),
        (boto.UnauthorizedSSOTokenError(), AccountError, "aws sso login"),
        (answered("ExpiredTokenException", 400), AccountError, "expired"),
        (answered("UnrecognizedClientException", 403), AccountError, "does not know this access key"),
        (
            answered("AccessDeniedException", 403, "not authorized to perform: batch:SubmitJob"),
            AccessDenied,
            "batch:SubmitJob",
        ),
        (answered("ClientException", 404, "JobQueue q not found."), UnusableTarget, "JobQueue q"),
        (
            answered("ClientException", 400, "Job definition x:1 is not in VALID status"),
            UnusableTarget,
            "not in VALID",
        ),
        (answered("ClientException", 400, "size must be at most"), SubmissionRejected, "size must be"),
        (answered("TooManyRequestsException", 429), Throttled, "some text"),
        (answered("", 429), Throttled, "some text"),
        (answered("ServerException", 500), BackendError, "HTTP 500"),
        (answered("404", 404), OperationNotSupported, "does not support this operation"),
        (answered("ResourceNotFoundException", 400), LogStreamNotFound, "some text"),
        (boto.EndpointConnectionError(endpoint_url="https://x"), Unreachable, "https://x"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), BackendError, "timeout"),
        (boto.ParamValidationError(report="Unknown parameter"), SubmissionRejected, "Unknown parameter"),
        (OSError("no route"), BackendError, "no route"),
    ],
)
def test_each_error_is_classified(error: Exception, kind: type[BackendError], message: str) -> None:
    found = translated(error, "SubmitJob")
    assert type(found) is kind
    assert message in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "error", [answered("ServerException", 503), boto.ReadTimeoutError(endpoint_url="https://x")]
)
def test_a_lost_response_is_not_a_rejection(error: Exception) -> None:
    assert not isinstance(translated(error, "SubmitJob"), SubmissionRejected)


def test_the_message_about_a_signature_is_not_shown() -> None:
    message = (
        "The request signature does not match. The Canonical String was 'POST x-amz-security-token:IQoJb3Jp'"
    )
    shown = str(translated(answered("InvalidSignatureException", 403, message), "SubmitJob"))
    assert "IQoJb3Jp" not in shown and "secret key" in shown


def test_a_message_is_one_line_and_short() -> None:
    shown = str(translated(answered("ClientException", 400, "line\nline\t" + "x" * 5000), "SubmitJob"))
    assert "\n" not in shown and len(shown) < 600
