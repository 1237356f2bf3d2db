"""The user's hooks as the engine's extensions: their results are checked and their exceptions reported.

``pytest.fail``, ``skip``, ``xfail`` and ``exit`` have the same effect in a hook as in a test, for the hook's
cell.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import pytest

from ..engine.extensions import Remark
from ..engine.extensions import Vetoed
from ..model import Cell
from ..model import JobSpec
from ..model import Mismatch
from ..model import Outcome
from ..model.records import Field
from ..model.records import Result
from ..model.records import Ruling
from ..model.text import gist
from ..model.text import one_line
from ..model.text import printable

PREFIX = "pytest_clusterjobs_"

NO_MISMATCH = ""
"""The expected result of a hook that checks the end of a job."""

MAX_FIELDS = 50
"""The most fields that hooks may add to one cell."""

MAX_FIELD_CHARACTERS = 1000
"""The most characters of a text in a field."""


class HookCalls:
    """Calls the hooks of ``hookspecs`` for the engine. Safe to use from several threads."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._errors: dict[str, int] = {}
        self.ending: BaseException | None = None
        """The first ``pytest.exit`` that a hook raised in a thread of the engine."""
        self.hide: Callable[[str], str] = str
        """Removes the values of the run's secrets from a text, before it is cut to its length."""

    @property
    def errors(self) -> list[str]:
        """Exceptions of hooks that are not reported elsewhere: one line each, with their number."""
        with self._lock:
            return [f"{text} ({count} times)" if count > 1 else text for text, count in self._errors.items()]

    @property
    def is_asked(self) -> bool:
        """Whether a hook is called for jobs that have ended."""
        return any(map(self._has, ("check", "report_fields", "job_ended")))

    @property
    def changes_specs(self) -> bool:
        """Whether a hook is called before each submission."""
        return self._has("before_submit")

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """The spec to submit, as decided by the hooks. Raises Vetoed, also for a hook that fails."""
        name = "before_submit"
        if not self._has(name):
            return cell.spec
        try:
            answer = self._call(name, cell=cell, attempt=attempt)
            # A hook may have changed the spec in place. Rebuilding it repeats the checks.
            replace(cell.spec)
        except BaseException as error:
            remark = self._remark_of(name, error)
            if isinstance(remark, Ruling):
                raise Vetoed(remark.reason, remark) from error
            raise Vetoed(gist(remark.seen if remark is not None else self._raised(name, error))) from error
        if answer is None:
            return cell.spec
        if isinstance(answer, JobSpec):
            return replace(answer)
        if isinstance(answer, str):
            raise Vetoed(self._line(answer))
        raise Vetoed(f"{PREFIX}{name} returned {self._line(repr(answer), 80)}, not a JobSpec or a text")

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterator[Remark]:
        """What the hooks report as wrong: their texts, failed assertions and other exceptions."""
        name = "check"
        if not self._has(name):
            return
        try:
            answers = self._call(name, cell=cell, outcome=outcome, log=log)
        except BaseException as error:
            yield self._remark_of(name, error) or Mismatch(name, NO_MISMATCH, self._raised(name, error))
            return
        for answer in answers:
            wrong = f"{PREFIX}{name} returned {self._line(repr(answer), 80)}, not a text"
            text = answer if isinstance(answer, str) else wrong
            if text:
                yield Mismatch(name, NO_MISMATCH, self.hide(text))

    def fields(self, cell: Cell, result: Result) -> tuple[Mapping[str, Field], Sequence[Remark]]:
        """The fields of all hooks. For a name given twice, the hook that pluggy calls first wins."""
        name = "report_fields"
        if not self._has(name):
            return {}, ()
        found: dict[str, Field] = {}
        remarks: Sequence[Remark] = ()
        try:
            for answer in self._call(name, cell=cell, result=result):
                for field, value in dict(answer).items():
                    found.setdefault(self._line(str(field), 80), self._plain(value))
        except BaseException as error:
            remarks = self._remarks_or_note(name, error)
        return dict(list(found.items())[:MAX_FIELDS]), remarks

    def ended(self, cell: Cell, result: Result) -> Sequence[Remark]:
        """Call the hooks for an attempt that has ended and was judged."""
        name = "job_ended"
        if self._has(name):
            try:
                self._call(name, cell=cell, result=result)
            except BaseException as error:
                return self._remarks_or_note(name, error)
        return ()

    def _has(self, name: str) -> bool:
        # With 10,000 cells, calls without an implementation would cost as much as the rest of the engine.
        return bool(getattr(self._config.hook, PREFIX + name).get_hookimpls())

    def _call(self, name: str, **arguments: Any) -> Any:
        if self.ending is not None:
            raise self.ending
        return getattr(self._config.hook, PREFIX + name)(config=self._config, **arguments)

    def _remark_of(self, name: str, error: BaseException) -> Remark | None:
        """The meaning of one of pytest's own exceptions, as in a test; None for any other exception."""
        if isinstance(error, pytest.exit.Exception | KeyboardInterrupt):
            if threading.current_thread() is threading.main_thread():
                raise error
            self.ending = self.ending or error
            return Ruling("exit", self._line(f"{PREFIX}{name} ended the session: {error}"))
        if isinstance(error, pytest.xfail.Exception):
            return Ruling("xfail", self._line(str(error)))
        if isinstance(error, pytest.skip.Exception) or _is_unittest_skip(error):
            return Ruling("skip", self._line(str(error)))
        if isinstance(error, pytest.fail.Exception):
            return Mismatch(name, NO_MISMATCH, self.hide(str(error)))
        return None

    def _remarks_or_note(self, name: str, error: BaseException) -> Sequence[Remark]:
        remark = self._remark_of(name, error)
        if remark is None:
            self._note(gist(self._raised(name, error)))
            return ()
        return (remark,)

    def _note(self, text: str) -> None:
        with self._lock:
            self._errors[text] = self._errors.get(text, 0) + 1

    def _raised(self, name: str, error: BaseException) -> str:
        """The text of any other exception, without secrets; it may have many lines."""
        if isinstance(error, AssertionError) and str(error):
            return self.hide(str(error))
        return self.hide(f"{PREFIX}{name} raised {type(error).__name__}: {error}")

    def _plain(self, value: object) -> Field:
        if isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
            return value
        return printable(self.hide(str(value)), MAX_FIELD_CHARACTERS)

    def _line(self, text: str, limit: int = 300) -> str:
        return one_line(self.hide(text), limit)


def _is_unittest_skip(error: BaseException) -> bool:
    unittest = sys.modules.get("unittest")
    return unittest is not None and isinstance(error, unittest.SkipTest)
