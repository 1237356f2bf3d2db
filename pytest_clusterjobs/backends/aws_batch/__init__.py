"""The AWS Batch backend: jobs by SubmitJob, watched by DescribeJobs, with their logs in CloudWatch."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import BackendType
from ..protocol import Unset
from .options import OPTIONS
from .options import REFUSED
from .settings import AwsBatchSettings
from .settings import capabilities

if TYPE_CHECKING:
    from ...model import JobSpec
    from .client import BatchBackend

NO_BOTO3 = "the backend aws-batch needs boto3: pip install 'pytest-clusterjobs[aws]'"


def open_batch(context: BackendContext) -> BatchBackend:
    """Open the backend, without a call to AWS. Raises BackendError."""
    if find_spec("boto3") is None:
        raise BackendError(NO_BOTO3)
    from .client import BatchBackend

    return BatchBackend(context, context.settings)


def check(spec: JobSpec, settings: AwsBatchSettings) -> Iterable[str | Unset]:
    """The features of a spec that this backend does not support, and missing site settings."""
    from .checks import problems

    return problems(spec, settings)


TYPE = BackendType(
    name="aws-batch",
    open=open_batch,
    settings=AwsBatchSettings,
    options=OPTIONS | REFUSED.keys(),
    check=check,
    capabilities=capabilities,
)
