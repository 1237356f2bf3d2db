"""Submit one job from a process of its own: ``python -m pytest_clusterjobs.testing.submit_in_subprocess [PATH ...]``.

Reads an order (JSON) from standard input and prints the handle (JSON). ``PATH`` is put on ``sys.path``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from ..backends.protocol import BackendContext
from ..model import Handle
from ..model import JobSpec
from ..model import Resources


def submit(order: dict[str, Any]) -> Handle:
    """Open the backend in the order, submit its spec and close it."""
    kind = resolve_name(order["backend"])
    backend = kind.open(
        BackendContext(
            name=kind.name,
            run_id=order["run_id"],
            run_dir=Path(order["run_dir"]),
            rootdir=Path(order["rootdir"]),
            settings=kind.validate(order["settings"]),
        )
    )
    handle: Handle = backend.submit(_spec(order["spec"]), order["token"])
    backend.close()
    return handle


def _spec(given: dict[str, Any]) -> JobSpec:
    lists = {name: tuple(given[name]) for name in ("args", "secrets")}
    return JobSpec(**{**given, **lists, "resources": Resources(**given["resources"])})


if __name__ == "__main__":
    sys.path += sys.argv[1:]
    print(json.dumps(asdict(submit(json.load(sys.stdin)))))
