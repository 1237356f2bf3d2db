"""The values that a run hides, stored in its folder so that every process that reads its logs hides the same.

They are written before a job is submitted. They stay as long as the run's folder, in which its logs can be
read.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Collection
from collections.abc import Iterable
from pathlib import Path

from ..ledger.ledger import LedgerError
from ..model import JobSpec
from ..model.paths import replace_file
from .hiding import Hiding
from .hiding import MIN_HIDDEN_CHARACTERS
from .hiding import normal
from .hiding import too_short

SECRETS_FILE = "secrets"

_MAX_FILE_BYTES = 64 << 20
"""The most bytes that are read of the file."""


class SecretsError(LedgerError):
    """The file cannot be read or written; one line that names it."""


class Secrets:
    """The values that the file had when this object was made, and those learned since.

    Only the process that owns the run learns values. Any thread may use this object.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SECRETS_FILE
        self._lock = threading.Lock()
        self._values: frozenset[str] | None = None
        """None while there is no file."""
        try:
            self._values = _read(self._path)
            self.all = Hiding(self._values or ())
            """The values hidden in texts that are not about a single job."""
        except SecretsError as error:
            self.all = Hiding(unknown=str(error))

    def of(self, spec: JobSpec) -> Hiding:
        """The values hidden in the texts of a job."""
        if spec.secrets and self._values is None and not self.all.unknown:
            return Hiding(
                unknown=f"{self._path}: no such file, and without it the job's secrets cannot be hidden"
            )
        return self.all

    def hide(self, text: str) -> str:
        """A text that is not about a single job, with the values known by now hidden."""
        return self.all.hide(text)

    def learn(self, specs: Iterable[JobSpec]) -> None:
        """Add the values that jobs are about to get from this process's environment. Raises SecretsError."""
        names = {name for spec in specs for name in spec.secrets}
        if not names:
            return
        found = {normal(os.environ[name]) for name in names if name in os.environ}
        with self._lock:
            if self.all.unknown:
                raise SecretsError(self.all.unknown)
            values = frozenset(found).union(self._values or ())
            if values != self._values:
                _write(self._path, values)
                self._values, self.all = values, Hiding(values)


def refusal(spec: JobSpec, *, known_elsewhere: bool) -> str | None:
    """Why a job cannot get its secrets; None if it can. ``known_elsewhere``: the cluster has the values."""
    for name in spec.secrets:
        value = os.environ.get(name)
        if value is None and not known_elsewhere:
            return f"secret {name} is not in the environment of this process"
        if value is not None and too_short(value):
            return (
                f"secret {name} has fewer than {MIN_HIDDEN_CHARACTERS} characters, which cannot be hidden in logs: "
                f"give it a longer value, or write it under env if it is not a secret"
            )
    return None


def _read(path: Path) -> frozenset[str] | None:
    """The values in a file; None if there is no file. Does not wait for a FIFO or follow a link.

    Raises SecretsError.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SecretsError(f"{path}: not a regular file")
            values = json.loads(file.read(_MAX_FILE_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretsError(f"{path}: {error.strerror}") from None
    except ValueError:
        # The original error quotes what was read.
        raise SecretsError(f"{path}: damaged") from None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SecretsError(f"{path}: damaged")
    return frozenset(values)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _write(path: Path, values: Collection[str]) -> None:
    """Replace the file. Raises SecretsError."""
    try:
        replace_file(path, json.dumps(sorted(values)).encode(), mode=0o600, is_durable=True)
    except OSError as error:
        raise SecretsError(f"{path}: {error.strerror}") from None
