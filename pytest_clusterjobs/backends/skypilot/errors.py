"""SkyPilot's errors as one-line messages and as the engine's error classes."""

from __future__ import annotations

from ..messages import error_line
from ..protocol import BackendError
from ..protocol import SubmissionRejected

REJECTIONS = frozenset(
    {
        "ValueError",
        "TypeError",
        "AssertionError",
        "NotSupportedError",
        "InvalidSkyPilotConfigError",
        "UserRequestRejectedByPolicy",
        "ResourcesMismatchError",
        "ResourcesUnavailableError",
        "InvalidCloudConfigs",
        "StorageError",
        "StorageSpecError",
        "StorageSourceError",
        "StorageUploadError",
        "NoCloudAccessError",
        "CloudUserIdentityError",
        "PermissionDeniedError",
        "UsageError",
        "SchemaValidationError",
        "ManagedJobUserCancelledError",
    }
)
"""Errors in the task itself, or in the user's rights: a retry does not help."""

CONNECTION_ERRORS = frozenset({"OSError", "JSONDecodeError", "KubeAPIUnreachableError"})
"""A retry may help, although some of these are ValueErrors, too. Errors of ``requests`` are OSErrors."""

TEMPORARY_MESSAGES = ("Failed to get partitions for cluster",)
"""Begin a ValueError for a Slurm login node that does not respond (``sky.provision.slurm.utils``)."""


class NoResponse(BackendError):
    """The API server did not respond in time."""


def translated(error: BaseException) -> BackendError:
    """The error as one of this package's classes."""
    if isinstance(error, BackendError):
        return error
    names = {each.__name__ for each in type(error).__mro__}
    message = message_of(error)
    if names & REJECTIONS and not names & CONNECTION_ERRORS and not message.startswith(TEMPORARY_MESSAGES):
        return SubmissionRejected(message)
    return BackendError(message)


def message_of(error: BaseException) -> str:
    """An error's text on one line, or the name of its class if it has none."""
    return error_line(str(error)) or type(error).__name__
