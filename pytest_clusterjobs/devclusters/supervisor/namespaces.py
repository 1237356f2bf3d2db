"""Mount namespaces: a daemon sees a host name, files and folders that the rest of the machine does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNSHARE = Path(__file__).with_name("unshare.py")


@dataclass(frozen=True)
class Bind:
    """A file or folder that is mounted over another.

    ``kept`` are folders below the target that stay visible.
    """

    source: Path
    target: Path
    kept: tuple[Path, ...] = ()


@dataclass(frozen=True)
class MountNamespace:
    """A host name (empty for the machine's own), and the files and folders that are replaced.

    Linux only; an ordinary user needs a kernel that allows user namespaces.
    """

    hostname: str = ""
    binds: tuple[Bind, ...] = ()

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs ``argv`` (first a path) in this namespace; its child processes stay in it."""
        binds = [(str(each.source), str(each.target), list(map(str, each.kept))) for each in self.binds]
        namespace = json.dumps({"hostname": self.hostname, "binds": binds})
        return [sys.executable, "-I", "-S", str(UNSHARE), namespace, *argv]


def below(folder: Path, paths: Iterable[Path]) -> tuple[Path, ...]:
    """The outermost of the existing folders ``paths`` that are below ``folder``, for :attr:`Bind.kept`."""
    found: list[Path] = []
    for path in sorted({path.resolve() for path in paths if path.is_dir()}):
        if folder in path.parents and not any(path.is_relative_to(each) for each in found):
            found.append(path)
    return tuple(found)
