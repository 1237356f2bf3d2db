"""A project whose cells run on the local AWS Batch: pytest and the command as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
COMMAND = [sys.executable, "-m", "pytest_clusterjobs.cli"]
MINUTES = 300


class Project:
    """A folder with site settings and matrices."""

    def __init__(self, path: Path, site: Mapping[str, Any]) -> None:
        self.path = path
        self.path.mkdir(exist_ok=True)
        self.site(**site)

    def site(self, **settings: Any) -> None:
        """Write the site settings of the backend ``aws``."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        table = ["[tool.clusterjobs.backends.aws]", 'type = "aws-batch"', *lines]
        (self.path / "pyproject.toml").write_text("\n".join(table))

    def matrix(self, text: str) -> None:
        """Write the project's matrix."""
        path = self.path / "matrices" / "m.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start pytest on the project."""
        return self._start([*PYTEST, "--cluster-backend=aws", *arguments], environ)

    def run(self, *arguments: str, **environ: str) -> str:
        """Run pytest, and return its output."""
        process = self.start(*arguments, **environ)
        return process.communicate(timeout=MINUTES)[0]

    def command(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run ``clusterjobs``, and return its exit code, stdout and stderr."""
        process = self.start_command(*arguments, **environ)
        out, err = process.communicate(timeout=MINUTES)
        return process.returncode, out, err

    def start_command(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start ``clusterjobs``."""
        return self._start([*COMMAND, *arguments], environ, stderr=subprocess.PIPE)

    def report(self) -> dict[str, Any]:
        """The report of the latest run."""
        runs = sorted((self.path / ".clusterjobs" / "runs").iterdir())
        found: dict[str, Any] = json.loads((runs[-1] / "report.json").read_text())
        return found

    def _start(
        self, command: list[str], environ: Mapping[str, str], stderr: int = subprocess.STDOUT
    ) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**kept, **environ},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
