"""``clusterjobs show``: everything that is known about a cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click

from ..judge.expect import expected_exit_code
from ..judge.expect import expected_reason
from ..ledger.codec import dump
from ..model import NodeState
from ..model import Observation
from ..model import Outcome
from ..model import Reason
from ..model.notation import format_duration
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from ..model.text import counted
from ..model.text import one_line
from ..model.text import printable
from ..model.text import quoted_output
from ..reports.json_report import cell_lines
from ..reports.json_report import CellLine
from ..reports.verdicts import colour_of
from .external_jobs import external_job
from .external_jobs import show_job
from .options import as_json
from .options import cell_argument
from .options import pass_project
from .options import run_option
from .output import clock
from .output import emit
from .output import facts
from .output import MAX_SCRIPT_CHARACTERS
from .output import say
from .project import OpenRun
from .project import Project


@click.command()
@cell_argument
@run_option
@click.option(
    "--follow", "-f", is_flag=True, help="With NAME:JOBID: print every change until the job has ended."
)
@as_json
@pass_project
def show(project: Project, cell: str, run: str | None, follow: bool, as_json: bool) -> None:
    """Show everything known about a cell: its verdict, its attempts, and the timeline of each.

    If CELL matches several cells, all of them are shown. NAME:JOBID in place of CELL selects the job with
    this id on the backend NAME, even if no run submitted it.
    """
    with external_job(project, cell) as job:
        if job is not None:
            show_job(job, follow=follow, as_json=as_json)
            return
    if follow:
        raise click.UsageError("--follow needs NAME:JOBID: to follow a run, use `clusterjobs watch`")
    project.read(run, lambda opened: _show(opened, cell, as_json))


def _show(opened: OpenRun, cell: str, as_json: bool) -> None:
    wanted = opened.cells(cell)
    keys = {entry.key for entry in wanted}
    lines = {line.key: line for line in cell_lines(opened.ledger) if line.key in keys}
    results = opened.ledger.results()
    attempts = [attempt for attempt in opened.ledger.attempts() if attempt.key in keys]
    if as_json:
        emit([_json(opened, lines[entry.key], attempts) for entry in wanted])
        return
    for position, entry in enumerate(wanted):
        say() if position else None
        own_attempts = [attempt for attempt in attempts if attempt.key == entry.key]
        _show_cell(opened, entry, lines[entry.key], results.get(entry.key))
        for attempt in own_attempts:
            _show_attempt(opened, entry, attempt)


def _json(run: OpenRun, line: CellLine, attempts: list[Attempt]) -> dict[str, Any]:
    """The cell as in the JSON report, and each attempt's history."""
    return {
        "run": run.run_id,
        "key": line.key,
        "verdict": line.verdict,
        "reported": line.reported,
        "registration": json.loads(line.registration),
        "result": json.loads(line.result) if line.result else None,
        "attempts": [
            {**json.loads(dump(attempt)), "history": _history(run, attempt)}
            for attempt in attempts
            if attempt.key == line.key
        ],
    }


def _history(run: OpenRun, attempt: Attempt) -> list[dict[str, Any]]:
    return [
        {"at": at, "observation": json.loads(dump(seen))} for at, seen in run.ledger.history(attempt.token)
    ]


def _show_cell(run: OpenRun, entry: Registration, line: CellLine, result: Result | None) -> None:
    say(f"{entry.key}  {line.verdict or 'pending'}", colour_of(line.verdict))
    facts([*_about(run, entry, line), *_judged(result)])


def _about(run: OpenRun, entry: Registration, line: CellLine) -> Iterator[tuple[str, str]]:
    spec = entry.cell.spec
    yield "run", f"{run.run_id} ({run.state})"
    yield "matrix" if entry.test is None else "test", f"{entry.path}:{entry.cell.line}"
    yield "backend", f"{entry.cell.backend}, {counted(spec.nodes, 'node')}"
    yield "command", printable(spec.run.strip(), MAX_SCRIPT_CHARACTERS)
    if spec.args:
        yield "args", " ".join(quoted_output(arg) for arg in spec.args)
    yield "expected", _expected(entry)
    if line.reported is not None and line.reported != line.verdict:
        yield "pytest", line.reported


def _expected(entry: Registration) -> str:
    expect = entry.cell.expect
    if entry.test is not None and set(Reason) <= set(expect.reasons or ()):
        return "anything (the test judges)"
    code = expected_exit_code(expect)
    return expected_reason(expect) + (f", exit code {code}" if code else "")


def _judged(result: Result | None) -> Iterator[tuple[str, str]]:
    if result is None:
        return
    for miss in result.judgement.misses:
        yield "unmet", f"{miss.field}: expected {one_line(miss.expected) or '-'}, got {one_line(miss.seen)}"
    for name, value in result.judgement.metrics.items():
        yield "metric", f"{one_line(name, 80)} = {value:g}"
    for name, added in result.fields.items():
        yield "field", f"{one_line(name, 80)} = {one_line(str(added))}"


def _show_attempt(run: OpenRun, entry: Registration, attempt: Attempt) -> None:
    handle = attempt.handle
    job = f"  job {one_line(handle.job_id, 80)}" if handle is not None and handle.job_id else ""
    say()
    say(f"  attempt {attempt.number}{job}  {attempt.token}")
    facts([*_changed(entry, attempt), *_facts_of(attempt)], "    ")
    say("    timeline")
    facts(_timeline(run, attempt), "      ")


def _changed(entry: Registration, attempt: Attempt) -> Iterator[tuple[str, str]]:
    """What a hook submitted in place of the cell's own spec."""
    for field in fields(attempt.spec) if attempt.spec is not None else ():
        value = getattr(attempt.spec, field.name)
        if value != getattr(entry.cell.spec, field.name):
            yield "by a hook", f"{field.name}: {one_line(str(value))}"


def _facts_of(attempt: Attempt) -> Iterator[tuple[str, str]]:
    if attempt.handle is not None and attempt.handle.url:
        yield "link", one_line(attempt.handle.url, 500)
    if attempt.action is not None:
        yield "this run", f"{attempt.action.kind}: {one_line(attempt.action.why)}"
    ended = attempt.outcome
    if ended is None:
        yield "outcome", "none yet"
    else:
        yield "outcome", f"{ended.reason} (source: {ended.source.shown}), {_numbers(ended)}"
        yield "why", one_line(ended.detail, 600) or "-"
        yield (
            "took",
            f"queued {format_duration(ended.queue_seconds)}, ran {format_duration(ended.run_seconds)}",
        )
        if ended.cost is not None:
            yield "cost", f"${ended.cost:,.4f}"
        if ended.first_failing_node is not None:
            yield "failed first", f"rank {ended.first_failing_node}"
    nodes = ended.nodes if ended is not None else attempt.observation.nodes if attempt.observation else ()
    for node in nodes:
        yield f"rank {node.rank}", _rank(node, ended=ended is not None)


def _numbers(outcome: Outcome) -> str:
    code = "no exit code" if outcome.exit_code is None else f"exit code {outcome.exit_code}"
    beats = "" if outcome.heartbeats is None else f", {outcome.heartbeats} heartbeats"
    return f"{code}, {outcome.restarts} restarts{beats}"


def _rank(node: NodeState, *, ended: bool) -> str:
    runs = not ended and node.ended is None and node.exit_code is None and node.report is None
    where = f" on {one_line(node.host, 80)}" if node.host else ""
    parts = [f"{'running' if runs else node.report.word if node.report else 'no report'}{where}"]
    parts += [f"code {node.exit_code}"] if node.exit_code is not None else []
    parts += ["stopped by the cluster"] if node.stopped_by_cluster else []
    parts += [f"log {one_line(node.log, 500)}"] if node.log else []
    return ", ".join(parts)


def _timeline(run: OpenRun, attempt: Attempt) -> Iterator[tuple[str, str]]:
    moments = [(attempt.intended, "submitting")]
    if attempt.submitted is not None:
        moments.append((attempt.submitted, "submitted"))
    moments += [(at, _seen(seen)) for at, seen in run.ledger.history(attempt.token)]
    if attempt.action is not None:
        moments.append((attempt.action.at, f"this run: {attempt.action.kind}"))
    last = attempt.observation
    times = attempt.outcome.times if attempt.outcome is not None else last.times if last is not None else None
    if times is not None and times.started is not None:
        moments.append((times.started, "started, reported by the cluster"))
    if times is not None and times.ended is not None:
        moments.append((times.ended, f"ended, reported by the cluster{_native_text(last)}"))
    for at, text in sorted(moments, key=lambda moment: moment[0]):
        yield f"{clock(at)}.{int(at % 1 * 1000):03}", text


def _seen(seen: Observation) -> str:
    return f"{seen.phase}{_native_text(seen)}"


def _native_text(seen: Observation | None) -> str:
    """The scheduler's own state and reason."""
    if seen is None:
        return ""
    native = [quoted_output(text, 300) for text in (seen.native_state, seen.native_reason) if text]
    return f": {', '.join(native)}" if native else ""
