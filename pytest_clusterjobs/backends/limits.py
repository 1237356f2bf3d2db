"""The limits of a backend that a job exceeds, as messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..model import JobSpec
from ..model.text import counted
from .protocol import BackendError
from .protocol import BackendType
from .protocol import Capabilities
from .protocol import SubmissionRejected
from .protocol import Unset


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason why a backend does not support a job."""

    fault: str
    """What is wrong, beginning with the backend's name."""
    key: str = ""
    """The field of the job spec that exceeds a limit; empty if no limit is the reason."""
    limit: int = 0
    """That limit."""
    remedy: str = ""
    """How to lift it."""
    about: str = ""
    """What a check's message begins with: ``options.slurm``, ``resources.memory``; empty if nothing."""
    unset: tuple[Unset, ...] = ()
    """The missing site settings, if these are the reason."""

    def message(self, *fixes: str) -> str:
        """The whole message in one line, with further ``fixes``."""
        ways = ", or ".join(filter(None, [self.remedy, *fixes]))
        return f"{self.fault}: {ways}" if ways else self.fault


def excesses(spec: JobSpec, can: Capabilities, name: str) -> Iterator[Objection]:
    """The limits of the backend NAME that a spec exceeds."""

    def excess(field: str, fault: str, key: str, limit: int) -> Objection:
        return Objection(f"backend {name} {fault}", key, limit, can.remedies.get(field, ""))

    if can.max_nodes is not None and spec.nodes > can.max_nodes:
        most, wanted = counted(can.max_nodes, "node"), counted(spec.nodes, "node")
        yield excess("max_nodes", f"runs jobs of {most} at most, not of {wanted}", "nodes", can.max_nodes)
    requested = f"max_restarts is {spec.max_restarts}"
    if not can.restarts and spec.max_restarts > 0:
        yield excess("restarts", f"does not start jobs again, {requested}", "max_restarts", 0)
    elif can.max_restarts is not None and spec.max_restarts > can.max_restarts:
        fault = f"starts a job again {counted(can.max_restarts, 'time')} at most, {requested}"
        yield excess("max_restarts", fault, "max_restarts", can.max_restarts)


def refuse(spec: JobSpec, can: Capabilities, name: str) -> None:
    """Raise SubmissionRejected if a spec asks for more than the backend NAME can do."""
    for found in excesses(spec, can, name):
        raise SubmissionRejected(found.message())


def objections(
    spec: JobSpec, can: Capabilities, name: str, kind: BackendType, settings: Any
) -> Iterator[Objection]:
    """Every objection to a spec that is known before the backend NAME is opened."""
    yield from excesses(spec, can, name)
    try:
        found = list(kind.check(spec, settings))
    except Exception as error:
        found = [f"its check fails with {_one_line(error)}"]
    unset = tuple(each for each in found if isinstance(each, Unset))
    if unset:
        yield Objection(settings_needed(name, unset), unset=unset)
    for each in found:
        if not isinstance(each, Unset):
            about = _ABOUT.match(each)
            yield Objection(f"backend {name}: {each}", about=about[1] if about else "")


_ABOUT = re.compile(r"([a-z_]+(?:\.[\w-]+)*): ")


def settings_needed(name: str, unset: Sequence[Unset], source: str = "pyproject.toml") -> str:
    """What to set in the site settings of the backend NAME, which are in the file ``source``."""
    *others, last = map(str, unset)
    names = f"{', '.join(others)} and {last}" if others else last
    return f"backend {name}: set {names} under [tool.clusterjobs.backends.{name}] in {source}"


def validated(read: Callable[[], object]) -> Capabilities:
    """The capabilities that ``read`` returns, validated, since a third-party backend may get them wrong.

    Raises BackendError with a one-line message.
    """
    try:
        found = read()
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(f"reading its capabilities fails with {_one_line(error)}") from error
    if not isinstance(found, Capabilities):
        raise BackendError(f"its capabilities must be Capabilities, not {found!r:.60}")
    for names, is_fine, wanted in _FIELDS:
        for name in names:
            value = getattr(found, name)
            if not is_fine(value):
                raise BackendError(f"its capabilities: {name} must be {wanted}, not {value!r:.60}")
    return found


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_table_of_text(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in [*value, *value.values()])


_FIELDS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("ids_per_poll", "submit_threads"), lambda value: _is_whole(value, 1), "a whole number of at least 1"),
    (
        ("max_nodes",),
        lambda value: value is None or _is_whole(value, 1),
        "a whole number of at least 1, or None",
    ),
    (("max_restarts",), lambda value: value is None or _is_whole(value, 0), "a whole number, or None"),
    (
        ("submissions_per_second",),
        lambda value: value is None or (_is_number(value) and value > 0),
        "a number above 0, or None",
    ),
    (("min_poll_interval", "find_settle", "log_settle"), _is_number, "a number of seconds"),
    (("restarts", "stops_rest", "knows_secrets"), lambda value: isinstance(value, bool), "True or False"),
    (("remedies",), _is_table_of_text, "a mapping of text"),
)
