"""The shape of the JSON report, from which its JSON Schema is generated and shipped.

``python -m pytest_clusterjobs.reports.schema`` writes ``report.schema.json`` anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from dataclasses import fields
from pathlib import Path
from typing import Any
from typing import Literal

from ..model import Handle
from ..model import JobSpec
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model import Verdict
from ..model.records import Registration
from ..model.records import Result

PATH = Path(__file__).with_name("report.schema.json")


@dataclass(frozen=True)
class Generator:
    """The program that wrote the report."""

    name: Literal["pytest-clusterjobs"]
    version: str | None


@dataclass(frozen=True)
class RunPart:
    """The run; times are seconds since the epoch."""

    id: str
    started: float
    ended: float | None
    """None while the session runs, and if it was killed."""
    updated: float
    """When the report was written."""
    rootdir: str
    on_crash: Literal["cancel", "keep"]
    left_to_reaper: int
    """Jobs whose cancellation took longer than pytest waited."""


@dataclass(frozen=True)
class Environment:
    """The environment in which pytest ran."""

    python: str
    pytest: str
    platform: str
    host: str
    backend: str | None
    """The value of --cluster-backend."""


@dataclass(frozen=True)
class Git:
    """The checkout that the run was started from."""

    commit: str
    branch: str | None
    dirty: bool
    pushed: bool


@dataclass(frozen=True)
class Summary:
    """The number of cells with each verdict."""

    selected: int
    passed: int
    failed: int
    error: int
    not_run: int
    pending: int
    """No verdict yet."""


@dataclass(frozen=True)
class AttemptPart:
    """One submission of a cell; times are seconds since the epoch."""

    token: str
    number: int
    intended: float
    spec: JobSpec | None
    """The spec that was submitted, if a hook changed it."""
    submitted: float | None
    handle: Handle | None
    observation: Observation | None
    """The last state that the cluster reported."""
    action: OwnAction | None
    """What this run did to the job; None if nothing."""
    outcome: Outcome | None


@dataclass(frozen=True)
class CellPart:
    """One cell, with all its attempts."""

    key: str
    verdict: Verdict | None
    reported: str | None
    """The outcome that pytest reported for the item: passed, failed, error, skipped, xfailed, xpassed,
    not run, pending, or another plugin's outcome."""
    registration: Registration
    """The cell as it was launched: its job spec, its expectation."""
    result: Result | None
    attempts: list[AttemptPart]


@dataclass(frozen=True)
class Report:
    """The JSON report of a run of pytest-clusterjobs."""

    format_version: Literal[1]
    generator: Generator
    run: RunPart
    environment: Environment | None
    git: Git | None
    summary: Summary
    cells: list[CellPart]


def generate() -> str:
    """The JSON Schema as text, as it is shipped."""
    from pydantic import TypeAdapter

    schema: dict[str, Any] = TypeAdapter(Report).json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["required"] = [field.name for field in fields(Report)]
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(generate(), "utf-8")
