"""The job that a backend is asked to run, independent of the backend."""

from __future__ import annotations

import math
import operator
import os
import re
import shlex
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from typing import Any
from typing import Literal
from typing import NoReturn

from .notation import MAX_DURATION_SECONDS
from .notation import MAX_SIZE_BYTES
from .notation import parse_duration
from .notation import parse_size
from .text import quoted

CELL_ID = re.compile(r"[A-Za-z0-9._+-]+")
"""Matches a valid cell id: no character has a meaning in node ids, shells or file names."""

RECIPE_FILE = "CLUSTERJOBS_RECIPE_FILE"
"""The only variable with the reserved prefix that a spec may set."""
_RESERVED_PREFIX = "CLUSTERJOBS_"


class BadSpec(ValueError):
    """A job spec with a value that no cluster can use; the message is one line."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        """The invalid field; for a mapping, followed by a dot and the key."""
        self.problem = problem

    def __str__(self) -> str:
        return f"job spec: {self.field}: {self.problem}"


class WrongType(BadSpec, TypeError):
    """A job spec with a field of the wrong type."""


class _InvalidValue(Exception):
    """Why a value is invalid; :class:`BadSpec` adds the field."""

    def __init__(self, problem: str, kind: type[BadSpec] = BadSpec, key: str = "") -> None:
        super().__init__(problem)
        self.problem, self.kind, self.key = problem, kind, key


def _wrong_type(wanted: str, value: object) -> NoReturn:
    raise _InvalidValue(f"{wanted}, not {value!r:.80}", WrongType)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        _wrong_type("expected a text", value)
    if "\0" in value:
        raise _InvalidValue("a process cannot be given a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = value[error.start]
            raise _InvalidValue(f"{found!r} is half a character, or a byte that is not UTF-8") from None
    return value


def _some_text(value: Any) -> str:
    if not _text(value).strip():
        raise _InvalidValue("empty")
    return str(value)


def _command(value: Any) -> str:
    if not isinstance(value, str) and isinstance(value, (list, tuple)):
        raise _InvalidValue(f"a shell command is one text: {quoted(shlex.join(map(str, value)))}", WrongType)
    if not _text(value) or value.isspace():
        raise _InvalidValue("the command is empty")
    return str(value)


def _name(value: Any) -> str:
    if not CELL_ID.fullmatch(_text(value)):
        raise _InvalidValue(f"{quoted(value)} has characters other than letters, digits and . _ + -")
    return str(value)


def _shell(value: Any) -> str:
    if value not in ("bash", "sh"):
        raise _InvalidValue(f"bash or sh, not {value!r:.80}")
    return str(value)


def _path(value: Any) -> str:
    return _some_text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        example = value.split() or ["one", "two"]
        raise _InvalidValue(f"expected a list, such as {example!r:.80}, not one text", WrongType)
    if not isinstance(value, list | tuple):
        _wrong_type("expected a list of texts", value)
    return tuple(_text(each) for each in value)


def _names(value: Any) -> tuple[str, ...]:
    names = _texts([value] if isinstance(value, str) else value)
    for name in names:
        _variable(name)
    return names


def _variable(name: Any) -> None:
    if not _text(name) or "=" in name:
        raise _InvalidValue(f"{quoted(name)} is not a valid name of an environment variable")
    if name.startswith(_RESERVED_PREFIX) and name != RECIPE_FILE:
        raise _InvalidValue(f"{quoted(name)}: names that begin with {_RESERVED_PREFIX} are reserved")


def _environment(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        _wrong_type("expected a mapping of names to texts", value)
    for name, content in value.items():
        _variable(name)
        try:
            _text(content)
        except _InvalidValue as error:
            hint = f": write {str(content)!r:.60}" if isinstance(content, int | float) else ""
            raise _InvalidValue(error.problem + hint, error.kind, name) from None
    return value


def _whole(low: int, high: int | None = None) -> Callable[[Any], int]:
    most = math.inf if high is None else high

    def read(value: Any) -> int:
        if type(value) is int and low <= value <= most:
            return value
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            _wrong_type("expected a whole number", value)
        number = operator.index(value)
        if number < low:
            raise _InvalidValue(f"at least {low}, not {number}")
        if number > most:
            raise _InvalidValue(f"at most {high}, not {number!r:.30}")
        return number

    return read


def _duration(*, zero: bool = False) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if type(value) is float and 0 < value <= MAX_DURATION_SECONDS:
            return value
        if isinstance(value, str):
            try:
                return parse_duration(value)
            except ValueError as error:
                raise _InvalidValue(str(error)) from None
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            _wrong_type("expected seconds as a number (60.0), or a text with a unit ('60s')", value)
        if not (0 <= value <= MAX_DURATION_SECONDS) or (value == 0 and not zero):
            least = "at least 0" if zero else "more than 0"
            raise _InvalidValue(f"{least} and at most {MAX_DURATION_SECONDS:g} seconds, not {value!r:.30}")
        return value if isinstance(value, int | float) else float(value)

    return read


def _size(value: Any) -> int:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise _InvalidValue(str(error)) from None
    return _whole(1, MAX_SIZE_BYTES)(value)


def _resources(value: Any) -> Resources:
    if isinstance(value, Mapping):
        known = [each.name for each in fields(Resources)]
        for name in value:
            if name not in known:
                raise _InvalidValue(f"unknown key {quoted(name)}; there are {', '.join(known)}", WrongType)
        return Resources(**value)
    return value if isinstance(value, Resources) else _wrong_type("expected Resources", value)


def _options(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _wrong_type("expected a mapping", value)
    _check_json(value)
    return value


def _check_json(value: Any, depth: int = 0) -> None:
    """Reject values that JSON cannot express."""
    if depth > 20:
        raise _InvalidValue("nested more than 20 deep")
    if isinstance(value, Mapping):
        for key, each in value.items():
            # JSON converts numbers to texts.
            _text(str(key) if isinstance(key, int) else key)
            _check_json(each, depth + 1)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_json(each, depth + 1)
    elif isinstance(value, str):
        _text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _InvalidValue(f"expected a finite number, not {value}")
    elif value is not None and not isinstance(value, bool | int | float):
        _wrong_type("only texts, numbers, booleans, lists and mappings are allowed here", value)


class _Fields:
    """The checks of a dataclass's fields."""

    def __init__(self, kind: type, checks: Mapping[str, Callable[[Any], Any]], prefix: str = "") -> None:
        defaults = {each.name: each.default for each in fields(kind)}
        self._rows = [(name, defaults[name], check) for name, check in checks.items()]
        self._prefix = prefix

    def check(self, spec: object) -> None:
        """Check all fields that are not defaults, and replace their values by the results. Raises BadSpec."""
        for name, default, check in self._rows:
            value = getattr(spec, name)
            if value is default:
                continue
            try:
                checked = check(value)
            except _InvalidValue as error:
                field = f"{self._prefix}{name}{error.key and '.'}{error.key}"
                raise error.kind(field, error.problem) from None
            if checked is not value:
                object.__setattr__(spec, name, checked)


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources per node; ``None`` leaves the choice to the cluster. Raises BadSpec."""

    gpus: int | None = None
    cpus: int | None = None
    memory: int | None = None
    """Bytes; a text with a unit (``64GiB``) is accepted too."""

    def __post_init__(self) -> None:
        _RESOURCES.check(self)


_RESOURCES = _Fields(Resources, {"gpus": _whole(0), "cpus": _whole(1), "memory": _size}, "resources.")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job, independent of the backend.

    Durations are seconds, or texts with a unit (``90s``). Raises BadSpec, a ValueError, for values that no
    cluster can use.
    """

    run: str
    """The shell script, run on every node; complete, including ``"$@"`` if it takes arguments."""
    name: str = "job"
    """The cell's id, available as ``CLUSTERJOBS_CELL``; only characters of ``[A-Za-z0-9._+-]``."""
    recipe: str = ""
    condition: str = ""
    nodes: int = 1
    shell: Literal["bash", "sh"] = "bash"
    """``bash`` runs the script with ``bash -eo pipefail``, ``sh`` with ``sh -e``."""
    setup: str | None = None
    """A script that runs before ``run`` in the same shell, on every node and start."""
    args: tuple[str, ...] = ()
    """The positional parameters of ``run``."""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    """Names of environment variables of the submitting process that the job gets; a spec has no values."""
    workdir: str | None = None
    """The folder in which the script runs; ``None`` for the backend's default."""
    image: str | None = None
    """The container image, on clusters that run containers."""
    resources: Resources = Resources()
    heartbeat_timeout: float | None = None
    """Seconds without a heartbeat of rank 0 after which the job ends; ``None`` for no limit."""
    max_runtime: float = 7200.0
    """Seconds per start, ``setup`` included, after which the job ends."""
    queue_timeout: float = 43200.0
    """Seconds that the job may wait for its start."""
    grace_period: float = 10.0
    """Seconds between TERM and KILL."""
    max_restarts: int = 0
    """How often the cluster may start the job again in one attempt."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """``options`` of the matrix for this backend: those of its type, overridden by those of its name."""
    owner: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        _SPEC.check(self)


_SPEC = _Fields(
    JobSpec,
    {
        "run": _command,
        "name": _name,
        "recipe": _text,
        "condition": _text,
        "nodes": _whole(1, 100_000),
        "shell": _shell,
        "setup": _text,
        "args": _texts,
        "env": _environment,
        "secrets": _names,
        "workdir": _path,
        "image": _some_text,
        "resources": _resources,
        "heartbeat_timeout": _duration(),
        "max_runtime": _duration(),
        "queue_timeout": _duration(),
        "grace_period": _duration(zero=True),
        "max_restarts": _whole(0, 100),
        "options": _options,
        "owner": _text,
        "description": _text,
    },
)
