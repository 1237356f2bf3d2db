"""The AWS Batch backend: jobs by SubmitJob, watched by DescribeJobs, with their logs in CloudWatch."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import BackendType
from ..protocol import Capabilities
from ..protocol import Unset
from .options import OPTIONS
from .options import REFUSED
from .settings import SETTINGS

if TYPE_CHECKING:
    from ...model import JobSpec
    from .client import BatchBackend

NO_BOTO3 = "the backend aws-batch needs boto3: pip install 'pytest-clusterjobs[aws]'"


def open_batch(context: BackendContext) -> BatchBackend:
    """Open the backend, without a call to AWS. Raises BackendError."""
    if find_spec("boto3") is None:
        raise BackendError(NO_BOTO3)
    from .client import BatchBackend
    from .settings import settings_of

    return BatchBackend(context, settings_of(context.settings))


def stated(settings: Mapping[str, Any]) -> Capabilities:
    """Its capabilities, without a call to AWS. Raises BackendError."""
    from .settings import capabilities
    from .settings import settings_of

    return capabilities(settings_of(settings))


def check(spec: JobSpec, settings: Mapping[str, Any]) -> Iterable[str | Unset]:
    """The features of a spec that this backend does not support. Raises BackendError for invalid settings."""
    from .checks import problems
    from .settings import settings_of

    return problems(spec, settings_of(settings))


TYPE = BackendType(
    name="aws-batch",
    open=open_batch,
    settings=SETTINGS,
    options=OPTIONS | REFUSED.keys(),
    check=check,
    capabilities=stated,
)
