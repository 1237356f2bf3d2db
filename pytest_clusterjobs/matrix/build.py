"""One cell's merged fragment to its job spec, expectation and classification, and the checks on them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import TypeVar

from ..backends.protocol import BackendType
from ..jobs import Classification
from ..jobs import ClassifyRule
from ..jobs import Expectation
from ..jobs import JobSpec
from ..jobs import Mark
from ..jobs import Reason
from ..jobs import Resources
from .errors import did_you_mean
from .errors import quoted
from .errors import Reporter
from .errors import Spot
from .expectations import contradictions
from .expectations import expectation
from .merge import deep
from .merge import Layer
from .shell import has_pipe
from .shell import with_args
from .where import Selection

T = TypeVar("T")
_PASSED_ON = (
    "shell",
    "setup",
    "workdir",
    "image",
    "grace_period",
    "queue_timeout",
    "max_restarts",
    "owner",
    "description",
)


@dataclass(frozen=True)
class Target:
    """The backend that the cells run on."""

    name: str
    type: BackendType
    settings: Mapping[str, Any]


@dataclass
class Draft:
    """A cell on its way: its place, its layers, and what they say together."""

    id: str
    axes: Mapping[str, str]
    spot: Spot
    layers: Sequence[Layer]
    state: Mapping[str, Any]
    matched: Sequence[Selection] = ()
    """What selected the overrides that are for it (on some backend)."""
    skip: str | None = None

    def origin(self, *path: object) -> Spot:
        """Where the strongest layer that says something of ``path`` says it."""
        for layer in reversed(self.layers):
            here: Any = layer.said
            for part in path:
                here = here.get(part) if isinstance(here, Mapping) else None
            if here is not None:
                return layer.at(*path)
        return self.spot

    @property
    def broken(self) -> bool:
        """Whether part of a layer was left out because it is wrong."""
        return any(layer.broken for layer in self.layers)


@dataclass
class Builder:
    """Builds what cells are made of; what depends on equal values is built once."""

    target: Target | None
    """``None`` if the file names one that there is not: all but what depends on it is checked."""
    reporter: Reporter
    _memo: dict[tuple[Any, ...], tuple[Any, Any]] = field(default_factory=dict)

    def spec(self, draft: Draft) -> JobSpec:
        """The job of a cell; what is wrong goes to the reporter."""
        state = draft.state
        spec = JobSpec(
            run=self._run(draft),
            name=draft.id,
            recipe=draft.axes["recipe"],
            condition=draft.axes["condition"],
            nodes=int(draft.axes["nodes"]),
            args=state.get("args", ()),
            env=self._env(draft),
            secrets=tuple(state.get("secrets", ())),
            resources=self._once(_resources, state.get("resources")),
            heartbeat_timeout=state.get("heartbeat_timeout"),
            max_runtime=state.get("max_runtime", JobSpec.__dataclass_fields__["max_runtime"].default),
            options=self._once(self._options, state.get("options")),
            **{key: state[key] for key in _PASSED_ON if key in state},
        )
        self._check(draft, spec)
        return spec

    def expect(self, draft: Draft, spec: JobSpec) -> Expectation:
        """The expectation of a cell, checked."""
        said = draft.state.get("expect", {})
        expect = self._once(expectation, said)
        for each in self._once(contradictions, expect, spec.heartbeat_timeout, spec.max_runtime):
            if not (each.missing and draft.broken):
                key = ".".join(("expect", *each.path))
                self.reporter.error(draft.origin("expect", *each.path), f"{key}: {each.message}", draft.id)
        self._check_heartbeat(draft, spec, expect)
        return expect

    def classification(self, draft: Draft) -> Classification:
        """How a cell's own words are read."""
        state = draft.state
        return self._once(
            _classification, state.get("classify"), state.get("translate"), state.get("reasons")
        )

    def marks(self, draft: Draft) -> tuple[Mark, ...]:
        """The marks of a cell, equal ones once."""
        return self._once(_distinct, draft.state.get("marks", ()))

    def _once(self, make: Callable[..., T], *operands: Any) -> T:
        key = (make.__name__, *map(id, operands))
        found = self._memo.get(key)
        if found is None:
            # Keeping the operands alive keeps their ids from being used again.
            found = self._memo[key] = (make(*operands), operands)
        result: T = found[0]
        return result

    def _run(self, draft: Draft) -> str:
        run = draft.state.get("run")
        if run is None:
            if not draft.broken:
                spot = next(
                    (each.spot for each in draft.layers if each.name.startswith("recipe ")), draft.spot
                )
                self.reporter.error(spot, f"recipe {quoted(draft.axes['recipe'])} has no run", draft.id)
            return ":"
        if draft.state.get("shell") == "sh" and self._once(has_pipe, run):
            self.reporter.warn(
                draft.origin("run"), "a pipe under `shell: sh` hides failures before its last command"
            )
        if not draft.state.get("args"):
            return str(run)
        handed_on = self._once(with_args, run)
        if handed_on is None:
            message = 'args are unused: run is more than one simple command, so it must mention them, as "$@"'
            if not draft.broken:
                self.reporter.error(draft.origin("run"), message, draft.id)
            return str(run)
        return handed_on

    def _env(self, draft: Draft) -> Mapping[str, str]:
        env: Mapping[str, str] = draft.state.get("env", {})
        for name in draft.state.get("secrets", ()):
            if name in env:
                self.reporter.error(
                    draft.origin("secrets", name),
                    f"{name} is in env and in secrets; keep it in one",
                    draft.id,
                )
        return env

    def _options(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """What ``options`` says for the backend: its type's entries, its name's on top."""
        if not options or self.target is None:
            return {}
        merged: Mapping[str, Any] = options.get(self.target.type.name, {})
        if self.target.name != self.target.type.name:
            merged = deep(merged, options.get(self.target.name, {}))
        return merged

    def _check(self, draft: Draft, spec: JobSpec) -> None:
        if self.target is None:
            return
        for message in self.target.type.check(spec, self.target.settings):
            self.reporter.error(draft.spot, f"backend {self.target.name}: {message}", draft.id)

    def _check_heartbeat(self, draft: Draft, spec: JobSpec, expect: Expectation) -> None:
        beat = spec.heartbeat_timeout
        if beat is None or beat < spec.max_runtime or draft.broken:
            return
        if expect.reasons is None or not {Reason.HEARTBEAT_TIMEOUT, Reason.MAX_RUNTIME_REACHED} & set(
            expect.reasons
        ):
            message = "heartbeat_timeout is not below max_runtime, so it never strikes"
            self.reporter.warn(draft.origin("heartbeat_timeout"), message, draft.id)


def check_options(layer: Layer, target: Target | None, names: Collection[str], reporter: Reporter) -> None:
    """Unknown backends and, for the backend in use, unknown options."""
    for name, options in (layer.said.get("options") or {}).items():
        spot = layer.key("options", name)
        if name not in names:
            reporter.error(spot, f"options: unknown backend {quoted(name)}{did_you_mean(name, names)}")
        elif target is not None and name in (target.name, target.type.name):
            for key in options or ():
                if key not in target.type.options:
                    known = sorted(target.type.options)
                    hint = did_you_mean(key, known) if known else "; it takes none"
                    where = layer.key("options", name, key)
                    reporter.error(where, f"options.{name}: unknown option {quoted(key)}{hint}")


def _resources(said: Mapping[str, Any] | None) -> Resources:
    return Resources(**(said or {}))


def _classification(rules: Any, translate: Any, reasons: Any) -> Classification:
    made = tuple(
        ClassifyRule(**{key: getattr(rule, key) for key in rule.model_fields_set}) for rule in rules or ()
    )
    return Classification(made, translate or {}, reasons or {})


def _distinct(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return tuple(mark for at, mark in enumerate(marks) if mark not in marks[:at])
