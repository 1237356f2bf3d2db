"""boto3's errors, as one-line messages with a fix, and as the engine's error classes."""

from __future__ import annotations

import re

from botocore import exceptions as boto

from ..protocol import BackendError
from ..protocol import SubmissionRejected
from ..protocol import Throttled

LONGEST = 500
"""Characters of the service's message that are kept."""

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
_NOT_THERE = re.compile(
    r"(?:job ?queue|job ?definition)\b.*\b(?:not found|not exist|not valid|not in VALID|disabled)",
    re.IGNORECASE,
)


class SiteTrouble(SubmissionRejected):
    """Bad credentials or region: the same for every job, and a retry is pointless."""


class Unusable(SubmissionRejected):
    """A queue or definition that does not exist or is not usable: the same for every job that names it."""


class Denied(Unusable):
    """The credentials do not permit it."""


class Unreachable(BackendError):
    """The service's address does not answer."""


class NotThere(BackendError):
    """CloudWatch Logs has no such group or stream."""


class NoSuchCall(BackendError):
    """The service does not know the operation: it is older than the client."""


def translated(error: Exception, doing: str) -> BackendError:
    """Translate what boto3 raised while ``doing`` something (the API's name for it)."""
    if isinstance(error, boto.ClientError):
        return _answered(error, doing)
    if isinstance(
        error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError
    ):
        return SiteTrouble(f"AWS credentials: {_line(str(error))} (environment, profile or role)")
    if isinstance(error, boto.NoRegionError):
        return SiteTrouble(
            "AWS region: none is set: region in the site settings, AWS_DEFAULT_REGION or a profile's"
        )
    if isinstance(error, boto.ProfileNotFound):
        return SiteTrouble(f"AWS profile: {_line(str(error))}")
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError):
        return SiteTrouble(f"AWS credentials: {_line(str(error))} (log in again: aws sso login)")
    if isinstance(error, boto.ParamValidationError | boto.UnknownRegionError | boto.InvalidRegionError):
        return SubmissionRejected(f"{doing}: {_line(str(error))}")
    words = f"{doing}: {_line(str(error)) or type(error).__name__}"
    return Unreachable(words) if isinstance(error, _UNREACHABLE) else BackendError(words)


def _answered(error: boto.ClientError, doing: str) -> BackendError:
    """The service's own error.

    Its message about a signature contains the session's token, so it is not shown.
    """
    answer = error.response.get("Error", {})
    code, words = str(answer.get("Code", "")), _line(str(answer.get("Message", "")))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _EXPIRED:
        return SiteTrouble("AWS credentials: the session token has expired: log in again")
    if code in _UNKNOWN_KEY:
        return SiteTrouble("AWS credentials: AWS does not know this access key or token")
    if code in _SIGNATURE:
        return SiteTrouble(
            "AWS credentials: the secret key does not belong to the access key, or the clock is wrong"
        )
    if code in _DENIED:
        return Denied(f"AWS denies {doing}: {words or 'no reason given'}")
    if code == "ResourceNotFoundException":
        return NotThere(f"{doing}: {words}")
    if code in _THROTTLED or status == 429:
        return Throttled(f"{doing}: {words or code}")
    if status >= 500:
        return BackendError(f"{doing}: {words or code} (HTTP {status})")
    if status == 404 and code in {"404", "UnknownOperationException"}:
        return NoSuchCall(f"{doing}: the service does not know this call")
    if _NOT_THERE.search(words):
        return Unusable(f"AWS refuses {doing}: {words}")
    return SubmissionRejected(f"AWS refuses {doing}: {words or code}")


def _line(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
