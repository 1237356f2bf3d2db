"""The text of a failure, an error, or a cell that was not run. It needs no other output to be understood."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

from ..model import Expectation
from ..model import JobSpec
from ..model import Judgement
from ..model import Mismatch
from ..model import NodeState
from ..model import Outcome
from ..model import Reason
from ..model import SentinelWord
from ..model import Verdict
from ..model.notation import format_duration
from ..model.tables import align
from ..model.text import one_line
from ..model.text import printable
from ..model.text import quoted_output
from ..model.text import split_lines_at_cr
from ..model.text import strip_ansi
from ..model.text import with_margin
from .expect import expected_exit_code
from .expect import expected_reason

MAX_COLUMN_CHARACTERS = 48
"""The widest column of the table of what was expected and seen."""

MAX_TAIL_CHARACTERS = 3000
"""Characters of log in one text, all ranks together."""

_ENDS = {"reason", "exit_code"}
"""The mismatches that the headline combines."""

_SENTINEL_TEXTS = {SentinelWord.STOPPED: "stopped by TERM"}
"""Replacements for states of sentinels that are not clear by themselves."""

_MEANING = {
    Verdict.PASSED: "",
    Verdict.FAILED: "",
    Verdict.ERROR: "infrastructure error: the job gave no answer about the product",
    Verdict.NOT_RUN: "not run: this run stopped the job before it could give an answer",
}


def failure_text(
    judgement: Judgement,
    outcome: Outcome,
    expect: Expectation,
    spec: JobSpec,
    *,
    location: str,
    rerun: str | None,
    log_tails: Mapping[int, str],
    job_id: str | None = None,
    url: str | None = None,
) -> str:
    """The complete explanation, for a reader who sees only this text.

    ``location`` is ``path:line``, ``rerun`` the command that runs this cell alone, if there is one,
    ``log_tails`` the last text of some ranks' logs with secrets redacted. Text from the job or the cluster is
    bounded and escaped.
    """
    lines = [headline(judgement, outcome, expect, location=location, cell=spec.name)]
    if _MEANING[judgement.verdict]:
        lines.append(_MEANING[judgement.verdict])
    lines += ["", *_table(judgement, outcome, expect)]
    lines += _hint(judgement, outcome, expect, spec)
    lines += ["", *(f"{name + ':':<16}{text}" for name, text in _facts(outcome, job_id, url))]
    if rerun is not None:
        lines.append(f"{'run it again:':<16}{one_line(rerun, 500)}")
    for title, text in (*_explanations(judgement), *_tails(outcome, log_tails)):
        lines += ["", title, text]
    return "\n".join(lines)


def headline(judgement: Judgement, outcome: Outcome, expect: Expectation, *, location: str, cell: str) -> str:
    """``path:line: cell: expected X, got Y``: reason and exit code, or else the first mismatch."""
    expected, got, end = _unmet(judgement, outcome, expect)
    text = f"expected {expected}, got {got}" if expected else got
    return f"{printable(f'{location}: {cell}', 1000)}: {text}{end}"


def summary(judgement: Judgement, outcome: Outcome, expect: Expectation) -> str:
    """``got Y, expected X``: the headline for a line that already names the cell, with the result first."""
    expected, got, end = _unmet(judgement, outcome, expect)
    return f"got {got}, expected {expected}{end}" if expected else f"{got}{end}"


def _unmet(judgement: Judgement, outcome: Outcome, expect: Expectation) -> tuple[str, str, str]:
    """The expected and the actual end, and how much more is unmet; a hook's message is used unchanged."""
    first = judgement.misses[0] if judgement.misses else None
    if first is None or first.field in _ENDS:
        expected, got = _expected_end(expect), _end(outcome, first)
        more = sum(miss.field not in _ENDS for miss in judgement.misses)
    else:
        named = bool(first.expected)
        expected = f"{first.field} {first.expected}" if named else ""
        got = first.seen if named else f"{first.field}: {first.seen}"
        more = len(judgement.misses) - 1
    return one_line(expected), one_line(got), f" (and {more} more unmet)" if more else ""


def _expected_end(expect: Expectation) -> str:
    code = expected_exit_code(expect)
    return f"{expected_reason(expect)} exit {code}" if code else expected_reason(expect)


def _end(outcome: Outcome, miss: Mismatch | None) -> str:
    if miss is not None and miss.field == "reason" and miss.seen != outcome.reason:
        return miss.seen
    return outcome.reason if outcome.exit_code is None else f"{outcome.reason} exit {outcome.exit_code}"


def _table(judgement: Judgement, outcome: Outcome, expect: Expectation) -> Iterator[str]:
    rows = [("", "expected", "seen"), *_rows(judgement, outcome, expect)]
    missed = {miss.field for miss in judgement.misses}
    for (name, *_), line in zip(rows, align(rows, MAX_COLUMN_CHARACTERS), strict=True):
        yield f"{'E' if name in missed else ' '} {line}"


def _rows(judgement: Judgement, outcome: Outcome, expect: Expectation) -> Iterator[tuple[str, str, str]]:
    """The reason, exit code and restarts always; the other rows if they are unmet or were read."""
    misses = {miss.field: miss for miss in judgement.misses}
    always = (
        Mismatch("reason", expected_reason(expect), outcome.reason),
        Mismatch(
            "exit_code",
            expected_exit_code(expect),
            "none" if outcome.exit_code is None else str(outcome.exit_code),
        ),
        Mismatch("restarts", "" if expect.restarts is None else str(expect.restarts), str(outcome.restarts)),
    )
    for row in always:
        yield _row(misses.get(row.field, row))
    for miss in judgement.misses:
        if miss.field not in {row.field for row in always}:
            yield _row(miss)
    for name, value in judgement.metrics.items():
        if f"metrics.{name}" not in misses:
            yield f"metrics.{name}", "", f"{value:g}"


def _row(miss: Mismatch) -> tuple[str, str, str]:
    return one_line(miss.field, 80), one_line(miss.expected) or "-", one_line(miss.seen)


def _hint(judgement: Judgement, outcome: Outcome, expect: Expectation, spec: JobSpec) -> Iterator[str]:
    """A hint for a cell that expects nothing special and was ended by one of its own limits."""
    limits = {
        Reason.MAX_RUNTIME_REACHED: spec.max_runtime != JobSpec(":").max_runtime,
        Reason.HEARTBEAT_TIMEOUT: spec.heartbeat_timeout is not None,
    }
    is_default = (expect.reasons, expect.exit_codes) == (Expectation().reasons, Expectation().exit_codes)
    if judgement.verdict is Verdict.FAILED and is_default and limits.get(outcome.reason):  # type: ignore[call-overload]
        yield ""
        yield f"if the cell is meant to end this way, write expect: {{reason: {outcome.reason}}}"


def _facts(outcome: Outcome, job_id: str | None, url: str | None) -> Iterator[tuple[str, str]]:
    yield "why", f"{one_line(outcome.detail, 600)} (source: {outcome.source.shown})"
    if outcome.action is not None:
        yield "this run", f"{outcome.action.kind}: {one_line(outcome.action.why)}"
    native = [quoted_output(text, 300) for text in (outcome.native_state, outcome.native_reason) if text]
    if native:
        yield "scheduler", ", ".join(native)
    if outcome.first_failing_node is not None:
        yield "failed first", f"rank {outcome.first_failing_node}"
    if outcome.nodes:
        yield "ranks", _ranks(outcome)
    if (log := _log(outcome)) is not None or not outcome.log_complete:
        yield (
            "log",
            " ".join(
                filter(None, (one_line(log or "", 500), "" if outcome.log_complete else "(incomplete)"))
            ),
        )
    if outcome.queue_seconds is not None or outcome.run_seconds is not None:
        yield "times", f"queued {_duration(outcome.queue_seconds)}, ran {_duration(outcome.run_seconds)}"
    if job_id is not None:
        yield "job", one_line(job_id)
    if url is not None:
        yield "link", one_line(url, 500)


def _duration(seconds: float | None) -> str:
    return format_duration(seconds, unknown="unknown")


def _log(outcome: Outcome) -> str | None:
    """The location of the whole log of the rank that failed first, or else of rank 0."""
    rank = outcome.first_failing_node or 0
    return next((node.log for node in outcome.nodes if node.rank == rank), None)


def _ranks(outcome: Outcome, limit: int = 16) -> str:
    shown = ", ".join(_rank(node) for node in outcome.nodes[:limit])
    left_out = len(outcome.nodes) - limit
    return shown if left_out <= 0 else f"{shown} and {left_out} more"


def _rank(node: NodeState) -> str:
    """One rank's end: the sentinel's report, the exit code, the host."""
    report = node.report
    code = node.exit_code if report is None or report.exit_code is None else report.exit_code
    silent = "never began" if node.begun is False else "no report"
    parts = [
        silent if report is None else _SENTINEL_TEXTS.get(report.word, str(report.word)),
        *([] if code is None else [str(code)]),
    ]
    host = f" on {one_line(node.host, 80)}" if node.host else ""
    return f"{node.rank}: {' '.join(parts)}{' (stopped by the cluster)' if node.stopped_by_cluster else ''}{host}"


def _explanations(judgement: Judgement) -> Iterator[tuple[str, str]]:
    """The mismatches that need more than their row."""
    for miss in judgement.misses:
        if miss.explanation:
            yield f"--- {one_line(miss.field, 80)} ---", with_margin(miss.explanation)


def _tails(outcome: Outcome, log_tails: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """The log tails, starting with the rank that failed first; they share the available space."""
    first = outcome.first_failing_node
    tails = {rank: tail for rank, tail in log_tails.items() if tail.strip()}
    ranks = sorted(tails, key=lambda rank: (rank != first, rank))[:4]
    for rank in ranks:
        text = split_lines_at_cr(strip_ansi(tails[rank][-4 * MAX_TAIL_CHARACTERS :])).rstrip()
        tail = printable(text, MAX_TAIL_CHARACTERS // len(ranks), keep="end")
        yield f"--- end of the log of rank {rank} ---", with_margin(tail)
