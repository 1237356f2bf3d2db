"""What a daemon sees of this machine that others do not."""

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
    """A file or folder in the place of another; of what it hides, ``kept`` are the folders that stay."""

    source: Path
    target: Path
    kept: tuple[Path, ...] = ()


@dataclass(frozen=True)
class MountNamespace:
    """A host name (empty for the machine's own), and what lies elsewhere than on the machine.

    Only Linux has these, and an ordinary user needs one that lets him have user namespaces.
    """

    hostname: str = ""
    binds: tuple[Bind, ...] = ()

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs ``argv``, whose first word is a path, in here; processes that it starts stay inside."""
        binds = [(str(each.source), str(each.target), list(map(str, each.kept))) for each in self.binds]
        facts = json.dumps({"hostname": self.hostname, "binds": binds})
        return [sys.executable, "-I", "-S", str(UNSHARE), facts, *argv]


def below(folder: Path, paths: Iterable[Path]) -> tuple[Path, ...]:
    """The outermost of these folders that are below ``folder``: what to keep when something is put over it."""
    found: list[Path] = []
    for path in sorted({path.resolve() for path in paths if path.is_dir()}):
        if folder in path.parents and not any(path.is_relative_to(each) for each in found):
            found.append(path)
    return tuple(found)
