"""The site settings of a Slurm backend."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import AfterValidator
from pydantic import Field
from pydantic import model_validator
from pydantic import ValidationError
from pydantic_core import InitErrorDetails
from pydantic_core import PydanticCustomError

from ..protocol import Capabilities
from ..settings import MustBe
from ..settings import SiteSettings
from .options import EXTRA
from .options import faults
from .options import OPTIONS
from .options import OWN

FILE_SETTLE_SECONDS = 5.0
"""Seconds after an end in which files may be late on the shared file system."""


def _absolute(path: Path | None) -> Path | None:
    if path is not None and not path.is_absolute():
        raise ValueError
    return path


def _checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    if found := [error for name, value in options.items() for error in _errors(name, value)]:
        raise ValidationError.from_exception_data("options", found)
    return options


def _errors(name: str, value: Any) -> Iterator[InitErrorDetails]:
    if name not in OPTIONS and name not in OWN and name != EXTRA:
        yield InitErrorDetails(type="extra_forbidden", loc=(name,), input=value)
        return
    for option, fault in faults(name, value):
        error = PydanticCustomError("option", "{fault}", {"fault": fault})
        yield InitErrorDetails(type=error, loc=(name,) if option == name else (name, option), input=value)


class SlurmSettings(SiteSettings):
    """The settings of a site. Every key that is not a field is an option of sbatch."""

    folder: Annotated[
        Path | None, AfterValidator(_absolute), MustBe("an absolute path that all nodes share")
    ] = None
    """Holds the jobs' folders, on a file system that all nodes share; ``None``: in the run's folder."""
    gpus_as: Annotated[Literal["gpus-per-node", "gres"], MustBe("one of gpus-per-node, gres")] = (
        "gpus-per-node"
    )
    """How ``resources.gpus`` is requested."""
    poll_interval: Annotated[float, Field(ge=0.1, le=60), MustBe("0.1 to 60 seconds")] = 2.0
    """The least seconds between two queries to Slurm."""
    options: Annotated[Mapping[str, Any], AfterValidator(_checked)] = {}
    """Defaults for the options of all jobs."""

    @model_validator(mode="before")
    @classmethod
    def _collect_options(cls, table: Any) -> Any:
        own = cls.model_fields.keys() - {"options"}
        given = {name: value for name, value in table.items() if name in own}
        return {**given, "options": {name: value for name, value in table.items() if name not in own}}

    @classmethod
    def keys(cls) -> Collection[str]:
        """The keys that a table may have."""
        return {*super().keys(), *OPTIONS, EXTRA} - {"options"}


def capabilities(settings: SlurmSettings) -> Capabilities:
    """The capabilities with these settings; only the cluster knows how many nodes a partition has."""
    return Capabilities(
        ids_per_poll=1000,
        submit_threads=4,
        min_poll_interval=settings.poll_interval,
        find_settle=10.0,
        log_settle=FILE_SETTLE_SECONDS,
    )
