"""The content of a merged fragment, in the types that the rest of the program uses."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..backends.protocol import BackendType
from ..backends.protocol import Capabilities
from ..model import ANY
from ..model import Classification
from ..model import ClassifyRule
from ..model import Expectation
from ..model import JobSpec
from ..model import Mark
from ..model import REASON_CLASSES
from ..model import Resources
from ..model.text import quoted
from .expectations import contradictions
from .expectations import expectation
from .expectations import SemanticError
from .merge import deep
from .shell import has_pipe
from .shell import with_args

_UNCHANGED_KEYS = (
    "shell",
    "setup",
    "workdir",
    "image",
    "heartbeat_timeout",
    "max_runtime",
    "queue_timeout",
    "grace_period",
    "max_restarts",
    "owner",
    "description",
)
"""Keys of a fragment that are arguments of JobSpec."""
_DEFAULT_MAX_RUNTIME_SECONDS: float = JobSpec(":").max_runtime


@dataclass(frozen=True)
class BackendTarget:
    """The backend that the cells run on."""

    name: str
    type: BackendType
    settings: Any
    """Its validated site settings."""
    capabilities: Capabilities
    """The capabilities that its type states."""
    source: str
    """The file of its settings."""

    @property
    def names(self) -> tuple[str, str]:
        """The names that ``options`` and selections may use for it."""
        return (self.name, self.type.name)


@dataclass(frozen=True, slots=True)
class ResolvedFragment:
    """What cells with equal fragments share, except their environment."""

    spec: Mapping[str, Any]
    """Arguments of JobSpec."""
    expect: Expectation
    classify: Classification
    infra_retries: int
    marks: tuple[Mark, ...]
    fixtures: tuple[str, ...]
    errors: tuple[SemanticError, ...]


def resolve_fragment(state: Mapping[str, Any], target: BackendTarget | None) -> ResolvedFragment:
    """The resolved form of a merged fragment."""
    run, errors = _run(state)
    spec = {
        "run": run,
        "args": state.get("args", ()),
        "secrets": tuple(state.get("secrets", ())),
        "resources": Resources(**state.get("resources", {})),
        "options": _options(state.get("options", {}), target),
        **{key: state[key] for key in _UNCHANGED_KEYS if key in state},
    }
    expect, impossible = expectation(state.get("expect", {}))
    errors += impossible
    errors += _undeclared(state, expect)
    classify = _classification(state)
    limits = (
        state.get("heartbeat_timeout"),
        state.get("max_runtime", _DEFAULT_MAX_RUNTIME_SECONDS),
        state.get("max_restarts", 0),
    )
    errors += contradictions(expect, classify, *limits)
    return ResolvedFragment(
        spec=spec,
        expect=expect,
        classify=classify,
        infra_retries=state.get("infra_retries", 0),
        marks=tuple(_distinct(state.get("marks", ()))),
        fixtures=tuple(dict.fromkeys(state.get("fixtures", ()))),
        errors=tuple(errors),
    )


def _run(state: Mapping[str, Any]) -> tuple[str, list[SemanticError]]:
    """The script that the job runs, with its arguments passed on, and its mistakes."""
    run = state.get("run")
    if run is None:
        return ":", [
            SemanticError(
                ("run",), "run is missing: neither the recipe nor another layer has it", is_missing=True
            )
        ]
    errors = []
    if state.get("shell") == "sh" and has_pipe(run):
        message = "with `shell: sh` a pipe hides failures of all commands but its last"
        errors.append(SemanticError(("run",), message, is_warning=True))
    script = with_args(run) if state.get("args") else run
    if script is None:
        message = 'args are not used: run is more than one simple command, so it must contain "$@"'
        errors.append(SemanticError(("run",), message, is_missing=True))
    return script or run, errors


def _undeclared(state: Mapping[str, Any], expect: Expectation) -> Iterator[SemanticError]:
    """Reasons that another part of the matrix adds, but none of these layers."""
    known = {ANY} | REASON_CLASSES.keys() | state.get("reasons", {}).keys()
    for reason in expect.reasons or ():
        if reason not in known:
            message = f"reason {quoted(reason)} is not defined for this cell: add it under `reasons` at the top level"
            yield SemanticError(("expect", "reason", reason), message, is_missing=True)


def _options(options: Mapping[str, Any], target: BackendTarget | None) -> Mapping[str, Any]:
    """The options for the backend: the entries for its type, overridden by those for its name."""
    if target is None:
        return {}
    own: Mapping[str, Any] = options.get(target.type.name, {})
    return own if target.name == target.type.name else deep(own, options.get(target.name, {}))


def _classification(state: Mapping[str, Any]) -> Classification:
    rules = state.get("classify", ())
    return Classification(
        tuple(
            ClassifyRule(**{key: value for key, value in rule.explicit_fields().items() if value is not None})
            for rule in rules
        ),
        state.get("translate", {}),
        state.get("reasons", {}),
    )


def _distinct(marks: tuple[Mark, ...]) -> Iterator[Mark]:
    """The marks without duplicates; marks are not hashable."""
    return (mark for at, mark in enumerate(marks) if mark not in marks[:at])
