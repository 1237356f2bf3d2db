from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SPY = '''
"""A backend that notes each submission in a file, and whose jobs end as their scripts say, at once."""

import os
import re
import time
from dataclasses import replace

from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.testing import NoopBackend


class Spy(NoopBackend):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.specs = {}

    def submit(self, spec, token):
        with open(self.folder / "submissions.txt", "a") as notes:
            notes.write(f"{os.getpid()} {token} {spec.name}\\n")
        if "refuse" in spec.run:
            raise SubmissionRejected("quota exceeded: no nodes")
        if "busy" in spec.run:
            time.sleep(2.0 if "slow" in spec.run else 0.0)
            raise Throttled("too many of your jobs")
        self.specs[token] = spec
        return super().submit(spec, token)

    def poll(self, handles):
        return {token: self.end(seen, self.specs[token].run) for token, seen in super().poll(handles).items()}

    def end(self, seen, run):
        code = int(found[1]) if (found := re.search(r"exit (\\d+)", run)) else 0
        hint = Reason(found[1]) if (found := re.search(r"hint (\\w+)", run)) else None
        nodes = tuple(replace(n, exit_code=code, report=replace(n.report, exit_code=code)) for n in seen.nodes)
        cost = float(found[1]) if (found := re.search(r"costs ([0-9.]+)", run)) else None
        return replace(seen, exit_code=code, reason_hint=hint, nodes=nodes, cost=cost)


TYPE = BackendType("spy", lambda context: Spy(context.rootdir))
'''


class Project:
    """A project with matrices on a backend that counts its submissions."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makepyfile(clusterjobs_spy=SPY)
        pytester.makepyprojecttoml(
            """
            [tool.clusterjobs.backends.spy]
            type = "clusterjobs_spy:TYPE"
            """
        )
        self.ini()

    def ini(self, *lines: str) -> None:
        """Write the project's ini file; the spy is found through ``pythonpath``, as a user's backend would
        be."""
        self.pytester.makeini("\n".join(["[pytest]", "pythonpath = .", *lines]))

    def command(self, *arguments: str) -> pytest.RunResult:
        """Run ``clusterjobs``."""
        return self.pytester.run(sys.executable, "-m", "pytest_clusterjobs.cli", *arguments)

    def matrix(self, text: str, name: str = "matrices/m.yaml") -> Path:
        """Write a matrix."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest on the spy backend, in a process of its own under xdist."""
        return self.pytester.runpytest("--cluster-backend=spy", "-p", "no:cacheprovider", *arguments)

    def submitted(self) -> Counter[str]:
        """How often each cell was submitted."""
        return Counter(line.split()[2] for line in self._notes())

    def submitters(self) -> set[str]:
        """The processes that submitted."""
        return {line.split()[0] for line in self._notes()}

    def _notes(self) -> list[str]:
        path = self.path / "submissions.txt"
        return path.read_text().splitlines() if path.exists() else []

    def report(self, name: str | None = None) -> dict[str, Any]:
        """The JSON report of the latest run."""
        if name is not None:
            path = self.path / name
        else:
            path = max(self.path.glob(".clusterjobs/runs/*/report.json"))
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def verdicts(self) -> dict[str, str | None]:
        """Each cell's verdict in the latest report."""
        return {cell["registration"]["cell"]["id"]: cell["verdict"] for cell in self.report()["cells"]}


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture
def six(project: Project) -> Project:
    """A project with six cells: two recipes, three conditions."""
    project.matrix(
        """
        recipes: {arena: "true", nav: "true"}
        nodes: [1]
        conditions:
          normal_completion: {}
          heartbeat_timeout: {}
          cmd_fails: {run: exit 3, expect: {exit_code: 3}}
        """
    )
    return project
