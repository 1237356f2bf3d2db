"""The folder with a project's runs: its own ``.clusterjobs``, or a part of a folder that a setting names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from .ledger import LedgerError
from .trust import is_own
from .trust import SAFE_DIRECTORY_VARIABLE
from .trust import Untrusted


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one project's runs. It may not exist yet."""

    path: Path
    source: str = ""
    """The setting that names its parent folder; empty for the project's own."""

    @classmethod
    def in_project(cls, rootdir: Path) -> Self:
        """``.clusterjobs`` in a project."""
        return cls(rootdir / ".clusterjobs")

    @classmethod
    def in_shared_folder(cls, folder: Path, rootdir: Path, source: str) -> Self:
        """A project's part of a shared folder, named after the project and digits that identify its path."""
        real = os.path.realpath(rootdir)
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.basename(real))[:40]
        return cls(folder / f"{name}-{sha256(os.fsencode(real)).hexdigest()[:10]}", source)

    @property
    def runs(self) -> Path:
        """The folder in which each run has a folder."""
        return self.path / "runs"

    def make(self) -> None:
        """Create missing folders, private to this user if a setting names them.

        Raises LedgerError, Untrusted.
        """
        try:
            for folder in (self.path.parent, self.path) if self.source else (self.path,):
                folder.mkdir(mode=0o700 if self.source else 0o777, parents=True, exist_ok=True)
                self._check_owner(folder)
            self.runs.mkdir(exist_ok=True)
            # Git must ignore the folder, wherever it is.
            if not (ignore := self.path / ".gitignore").exists():
                ignore.write_text("*\n")
        except (FileExistsError, NotADirectoryError) as error:
            raise self._unusable(error.filename, "Not a folder") from error
        except OSError as error:
            raise self._unusable(error.filename, error.strerror) from error
        if not os.access(self.runs, os.W_OK | os.X_OK):
            raise self._unusable(self.runs, "Not writable")

    def _check_owner(self, folder: Path) -> None:
        if self.source and not is_own(folder):
            raise Untrusted(
                f"{self.source}: {folder} belongs to another user (uid {folder.stat().st_uid}): name a folder "
                f"that belongs to you, or set {SAFE_DIRECTORY_VARIABLE}={folder} to trust it"
            )

    def _unusable(self, where: object, why: str | None) -> LedgerError:
        if self.source:
            return LedgerError(f"{self.source}: {where}: {why}: name a folder that you can write to")
        return LedgerError(
            f"{where}: {why}: name a folder for the runs with --cluster-dir=DIR, or with CLUSTERJOBS_DIR or the "
            "ini option cluster_dir"
        )
