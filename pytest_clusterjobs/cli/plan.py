"""``clusterjobs plan``: what a session would submit."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import click

from ..backends import sentinel
from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import Previewing
from ..model import JobSpec
from ..model.notation import format_duration
from ..model.text import counted
from ..model.text import one_line
from ..model.text import printable
from ..model.token import Token
from ..plugin.compat import marked
from ..plugin.compat import timeout_of
from ..plugin.items import CellItem
from ..plugin.settings import settings_of
from .collection import collect
from .errors import CommandError
from .errors import EXIT_NOT_PASSED
from .errors import NotFound
from .options import as_json
from .options import pass_project
from .output import emit
from .output import facts
from .output import MAX_SCRIPT_CHARACTERS
from .output import say
from .project import Project

MAX_SUBMISSION_CHARACTERS = 1_000_000
"""The most characters of a submission that are shown."""

RUN_ID = "plan"
"""Stands for the run's id in the text of a submission."""

TOKEN = "cj-plan-0000000000-a1"
"""Stands for the token that a job gets at submission."""


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=False))
@click.option("-k", "keyword", metavar="EXPR", help="Like pytest's -k.")
@click.option("-m", "marks", metavar="EXPR", help="Like pytest's -m.")
@click.option("--backend", metavar="NAME", help="Like pytest's --cluster-backend.")
@click.option("--script", is_flag=True, help="Also print the exact text that the cluster would get.")
@as_json
@pass_project
def plan(
    project: Project,
    paths: tuple[str, ...],
    keyword: str | None,
    marks: str | None,
    backend: str | None,
    script: bool,
    as_json: bool,
) -> None:
    """Show what pytest would submit for PATHS (files, folders or node ids), and submit nothing.

    Environment variables are shown by name only, except with --script. The project's conftest.py is executed,
    as by pytest --collect-only. Exit code 1 if a matrix has errors.
    """
    chosen = {"-k": keyword, "-m": marks, "--cluster-backend": backend}
    options = [text for name, value in chosen.items() if value for text in (name, value)]
    found = collect(project, [*paths, *options])
    for error in found.errors:
        say(error, "red")
    if found.errors:
        raise SystemExit(EXIT_NOT_PASSED)
    items = [item for item in found.items if marked(item).runs]
    texts = scripts(items) if script else {}
    if as_json:
        emit({"cells": [_as_dict(item, texts) for item in items], "totals": _totals(items)})
    elif not items:
        raise NotFound(f"no cell is selected in the project {found.rootdir}: pytest would submit nothing")
    else:
        _print(items, texts)


def _print(items: list[CellItem], texts: Mapping[str, str]) -> None:
    for item in items:
        say(item.key)
        facts(_facts_of(item))
        if item.key in texts:
            say()
            say(printable(texts[item.key], MAX_SUBMISSION_CHARACTERS))
        say()
    totals = _totals(items)
    by_backend = ", ".join(f"{n} on {name}" for name, n in totals["backends"].items())
    jobs, nodes = counted(totals["jobs"], "job"), counted(totals["nodes"], "node")
    say(f"{jobs} ({by_backend}), {nodes} in all, {totals['widest']} in the widest job")
    say(f"at most {totals['node_hours']:.2f} node-hours, if every job reaches its limit")


def _facts_of(item: CellItem) -> Iterator[tuple[str, str]]:
    cell, spec = item.cell, item.cell.spec
    yield "backend", f"{cell.backend}, {counted(spec.nodes, 'node')}"
    if spec.image:
        yield "image", one_line(spec.image)
    if spec.workdir:
        yield "workdir", one_line(spec.workdir)
    if spec.setup:
        yield "setup", printable(spec.setup.strip(), MAX_SCRIPT_CHARACTERS)
    yield (
        f"{spec.shell} {sentinel.SHELL_OPTIONS[spec.shell]}",
        printable(spec.run.strip(), MAX_SCRIPT_CHARACTERS),
    )
    if spec.args:
        yield "args", printable(shlex.join(spec.args), MAX_SCRIPT_CHARACTERS)
    if spec.env or spec.secrets:
        yield "environment", ", ".join([*spec.env, *(f"{name} (secret)" for name in spec.secrets)])
    resources = [f"{name} {value}" for name, value in _resources(spec).items() if value is not None]
    if resources:
        yield "resources", ", ".join(resources) + " a node"
    if spec.options:
        yield "options", printable(_as_yaml(spec.options), MAX_SCRIPT_CHARACTERS)
    yield (
        "limits",
        ", ".join(f"{name} {format_duration(value)}" for name, value in _limits(item).items() if value),
    )
    retries = [("max_restarts", spec.max_restarts), ("infra_retries", cell.infra_retries)]
    if any(number for _, number in retries):
        yield "retries", ", ".join(f"{name} {number}" for name, number in retries if number)


def _as_yaml(options: Mapping[str, Any]) -> str:
    """Options in the notation of a matrix, one per line."""
    import yaml

    plain = json.loads(json.dumps(dict(options), default=str))
    values = (
        yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=10**6)
        for value in plain.values()
    )
    return "\n".join(f"{key}: {value.strip()[1:-1]}" for key, value in zip(plain, values, strict=True))


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


def _as_dict(item: CellItem, texts: Mapping[str, str]) -> dict[str, Any]:
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
        **({"submission": texts[item.key]} if item.key in texts else {}),
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


def scripts(items: list[CellItem]) -> dict[str, str]:
    """What each cell's backend would submit, by cell key, if the backend supports it. Raises CommandError."""
    by_backend = {item.cell.backend: item for item in items}
    texts = {}
    with BackendPool(lambda name: _opened(by_backend[name])) as backends:
        for item in items:
            name = item.cell.backend
            try:
                backend = backends(name)
                if isinstance(backend, Previewing):
                    token = str(Token.of(RUN_ID, item.key, 1))
                    texts[item.key] = backend.preview(item.cell.spec, token)
            except BackendError as error:
                raise CommandError(f"backend {name}: {error}") from error
    return texts


def _opened(item: CellItem) -> Backend:
    settings = settings_of(item.config)
    return settings.run_config.site.open(
        item.cell.backend,
        run_id=RUN_ID,
        run_dir=settings.home.runs / RUN_ID,
        rootdir=settings.run_config.rootdir,
    )
