"""``clusterjobs plan``: what a session would submit."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import click

from ..backends import sentinel
from ..collect import CellItem
from ..compat import timeout_of
from ..compat import will_be_skipped
from ..jobs import JobSpec
from ..judge import printable
from ..judge.text import one_line
from .collection import collect
from .errors import NOT_GREEN
from .errors import NotFound
from .options import as_json
from .options import pass_project
from .output import emit
from .output import facts
from .output import say
from .output import seconds
from .project import Project

_SHELLS = {"bash": "bash -eo pipefail", "sh": "sh -e"}

LONGEST = 4000
"""Characters of a script."""

TOKEN = "cj-plan-0000000000-a1"
"""Stands for the token that a job gets when it is submitted."""


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=False))
@click.option("-k", "keyword", metavar="EXPR", help="As pytest's -k.")
@click.option("-m", "marks", metavar="EXPR", help="As pytest's -m.")
@click.option("--backend", metavar="NAME", help="As pytest's --cluster-backend.")
@as_json
@pass_project
def plan(
    project: Project,
    paths: tuple[str, ...],
    keyword: str | None,
    marks: str | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Tell what pytest would submit for PATHS, files, folders or node ids; nothing is submitted.

    Environment variables are told by name only. Exit code 1 for a matrix with mistakes.
    """
    chosen = {"-k": keyword, "-m": marks, "--cluster-backend": backend}
    options = [text for name, value in chosen.items() if value for text in (name, value)]
    found = collect(project, [*paths, *options])
    for error in found.errors:
        say(error, "red")
    if found.errors:
        raise SystemExit(NOT_GREEN)
    items = [item for item in found.items if not will_be_skipped(item)]
    if as_json:
        emit({"cells": [_as_dict(item) for item in items], "totals": _totals(items)})
    elif not items:
        raise NotFound("nothing would be submitted")
    else:
        _tell(items)


def _tell(items: list[CellItem]) -> None:
    for item in items:
        say(item.key)
        facts(_told(item))
        say()
    totals = _totals(items)
    by_backend = ", ".join(f"{n} on {name}" for name, n in totals["backends"].items())
    say(
        f"{totals['jobs']} jobs ({by_backend}), {totals['nodes']} nodes in all, {totals['widest']} in the widest"
    )
    say(f"at most {totals['node_hours']:.2f} node-hours, if every job runs into its limit")


def _told(item: CellItem) -> Iterator[tuple[str, str]]:
    cell, spec = item.cell, item.cell.spec
    yield "backend", f"{cell.backend}, {spec.nodes} node{'s' if spec.nodes > 1 else ''}"
    if spec.image:
        yield "image", one_line(spec.image)
    if spec.workdir:
        yield "workdir", one_line(spec.workdir)
    if spec.setup:
        yield "setup", printable(spec.setup.strip(), LONGEST)
    yield f"{_SHELLS[spec.shell]}", printable(spec.run.strip(), LONGEST)
    if spec.args:
        yield "args", printable(shlex.join(spec.args), LONGEST)
    if spec.env or spec.secrets:
        yield "environment", ", ".join([*spec.env, *(f"{name} (secret)" for name in spec.secrets)])
    resources = [f"{name} {value}" for name, value in _resources(spec).items() if value is not None]
    if resources:
        yield "resources", ", ".join(resources) + " a node"
    if spec.options:
        yield "options", one_line(str(dict(spec.options)))
    yield "limits", ", ".join(f"{name} {seconds(value)}" for name, value in _limits(item).items() if value)
    retries = [("max_restarts", spec.max_restarts), ("infra_retries", cell.infra_retries)]
    if any(number for _, number in retries):
        yield "again", ", ".join(f"{name} {number}" for name, number in retries if number)


def _limits(item: CellItem) -> dict[str, float | None]:
    spec = item.cell.spec
    return {
        "heartbeat_timeout": spec.heartbeat_timeout,
        "max_runtime": spec.max_runtime,
        "queue_timeout": spec.queue_timeout,
        "grace_period": spec.grace_period,
        "timeout": timeout_of(item),
    }


def _resources(spec: JobSpec) -> dict[str, int | None]:
    wanted = spec.resources
    return {"gpus": wanted.gpus, "cpus": wanted.cpus, "memory": wanted.memory}


def _as_dict(item: CellItem) -> dict[str, Any]:
    cell, spec = item.cell, item.cell.spec
    return {
        "key": item.key,
        "backend": cell.backend,
        "nodes": spec.nodes,
        "shell": spec.shell,
        "setup": spec.setup,
        "run": spec.run,
        "args": list(spec.args),
        "argv": sentinel.argv(spec, TOKEN, workdir=spec.workdir or ""),
        "env": list(spec.env),
        "secrets": list(spec.secrets),
        "image": spec.image,
        "workdir": spec.workdir,
        "resources": _resources(spec),
        "options": dict(spec.options),
        "limits": _limits(item),
        "max_restarts": spec.max_restarts,
        "infra_retries": cell.infra_retries,
    }


def _totals(items: list[CellItem]) -> dict[str, Any]:
    specs = [item.cell.spec for item in items]
    names = [item.cell.backend for item in items]
    worst = sum(spec.nodes * spec.max_runtime * (spec.max_restarts + 1) for spec in specs)
    return {
        "jobs": len(items),
        "nodes": sum(spec.nodes for spec in specs),
        "widest": max((spec.nodes for spec in specs), default=0),
        "node_hours": round(worst / 3600, 3),
        "backends": {name: names.count(name) for name in sorted(set(names))},
    }
