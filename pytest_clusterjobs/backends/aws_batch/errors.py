"""boto3's errors, as one-line messages with a fix, and as the engine's error classes."""

from __future__ import annotations

import re

from botocore import exceptions as boto

from ..messages import error_line
from ..protocol import BackendError
from ..protocol import SubmissionRejected
from ..protocol import Throttled

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN_KEY = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure"}
)
_SIGNATURE = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"})
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"})
_THROTTLED = frozenset(
    {
        "TooManyRequestsException",
        "TooManyRequests",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "LimitExceededException",
    }
)
_UNREACHABLE = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_UNUSABLE_TARGET = re.compile(
    r"(?:job ?queue|job ?definition)\b.*\b(?:not found|not exist|not valid|not in VALID|disabled)",
    re.IGNORECASE,
)


class AccountError(SubmissionRejected):
    """Wrong credentials, region or endpoint: no job can be submitted, and a retry is pointless."""


class UnusableTarget(SubmissionRejected):
    """A queue or definition does not exist or cannot be used: every job that names it is rejected."""


class AccessDenied(UnusableTarget):
    """The credentials do not permit the call."""


class Unreachable(BackendError):
    """The service's endpoint does not respond."""


class LogStreamNotFound(BackendError):
    """CloudWatch Logs has no such group or stream."""


class OperationNotSupported(BackendError):
    """The service does not know the operation, because it is older than the client."""


def translated(error: Exception, operation: str) -> BackendError:
    """Translate an error of boto3; ``operation`` is the name of the call in the API."""
    if isinstance(error, boto.ClientError):
        return _client_error(error, operation)
    if isinstance(
        error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError
    ):
        return AccountError(
            f"AWS credentials: {error_line(str(error))} (from the environment, a profile or a role)"
        )
    if isinstance(error, boto.NoRegionError):
        return AccountError(
            "AWS region: not set: set region in the site settings, AWS_DEFAULT_REGION or the profile's region"
        )
    if isinstance(error, boto.ProfileNotFound):
        return AccountError(f"AWS profile: {error_line(str(error))}")
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError):
        return AccountError(f"AWS credentials: {error_line(str(error))} (log in again: aws sso login)")
    if isinstance(error, boto.ParamValidationError | boto.UnknownRegionError | boto.InvalidRegionError):
        return SubmissionRejected(f"{operation}: {error_line(str(error))}")
    message = f"{operation}: {error_line(str(error)) or type(error).__name__}"
    return Unreachable(message) if isinstance(error, _UNREACHABLE) else BackendError(message)


def _client_error(error: boto.ClientError, operation: str) -> BackendError:
    """Translate the service's own error.

    Its message about a signature is not shown, because it contains the session's token.
    """
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), error_line(str(details.get("Message", "")))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _EXPIRED:
        return AccountError("AWS credentials: the session token has expired: log in again")
    if code in _UNKNOWN_KEY:
        return AccountError("AWS credentials: AWS does not know this access key or token")
    if code in _SIGNATURE:
        return AccountError(
            "AWS credentials: the secret key does not belong to the access key, or the clock is wrong"
        )
    if code in _DENIED:
        return AccessDenied(f"AWS denies {operation}: {message or 'no reason given'}")
    if code == "ResourceNotFoundException":
        return LogStreamNotFound(f"{operation}: {message}")
    if code in _THROTTLED or status == 429:
        return Throttled(f"{operation}: {message or code}")
    if status >= 500:
        return BackendError(f"{operation}: {message or code} (HTTP {status})")
    if status == 404 and code in {"404", "UnknownOperationException"}:
        return OperationNotSupported(f"{operation}: the service does not support this operation")
    if _UNUSABLE_TARGET.search(message):
        return UnusableTarget(f"AWS rejects {operation}: {message}")
    return SubmissionRejected(f"AWS rejects {operation}: {message or code}")
