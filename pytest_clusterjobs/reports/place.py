"""Where a report goes: a file, which is replaced atomically; a stream, which is written once; or nowhere."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from select import select

from ..model.paths import replace_file

STDOUT = Path("/proc/self/fd/1")
"""The path that ``-`` stands for."""

READER_TIMEOUT_SECONDS = 10.0
"""The longest wait for the reader of a FIFO to open it, and to read each piece of the report."""

JSON_REPORT = re.compile(
    rb'\s*\{\s*"format_version":\s*\d+,\s*"generator":\s*\{\s*"name":\s*"pytest-clusterjobs"'
)
"""The beginning of a JSON report of this plugin."""

JUNIT = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<testsuites?[\s>]")
"""The beginning of JUnit XML, whichever tool wrote it."""

_NOT_REPLACEABLE = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV}
"""Errors of a folder that allows no new file, or of a mounted file, which can be written but not replaced."""


def place(text: str, start: Path) -> Path | None:
    """The path that an option names, by pytest's rules; ``-`` is stdout, and ``none`` gives None."""
    if text == "none":
        return None
    if text == "-":
        return STDOUT
    return Path(os.path.abspath(start / os.path.expanduser(os.path.expandvars(text))))


def is_stream(path: Path) -> bool:
    """Whether ``path`` is written as a stream: a device, a FIFO or an open descriptor."""
    try:
        return _descriptor(path) is not None or not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def is_link_loop(path: Path) -> bool:
    """Whether the path has a loop of links. For a dangling link the file is created instead."""
    return os.path.islink(os.path.realpath(path))


def is_other_file(path: Path, kind: re.Pattern[bytes]) -> bool:
    """Whether there is a file of another kind, by its beginning. An empty file counts as a report."""
    if is_stream(path) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(300)
    except OSError:
        return True
    return bool(beginning) and kind.match(beginning) is None


def named_in(options: Mapping[str, object], path: Path, start: Path) -> str | None:
    """Another option of this session that names the same file; None if there is none."""
    real = os.path.realpath(path)
    for name, value in options.items():
        if not name.startswith("cluster_") and any(
            os.path.realpath(found) == real for found in _paths(value, start)
        ):
            return name
    return None


def _paths(value: object, start: Path) -> Iterator[Path]:
    """Every path that an option's value may mean, however its plugin interprets it."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and "\0" not in text and (found := place(text, start)) is not None:
            yield found
    elif isinstance(value, Mapping):
        yield from _paths([*value.values()], start)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths(each, start)


def make_folder(path: Path) -> None:
    """Create the folder of a regular file. Errors are reported when the file is written."""
    if not is_stream(path):
        with suppress(OSError):
            Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write a report, so that a regular file is complete at any time. Raises OSError."""
    descriptor = _descriptor(path)
    if descriptor is not None:
        # Opening it again would start at the beginning of a file to which others write as well.
        sys.stdout.flush()
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
    elif is_stream(path):
        with _opened(path) as opened:
            _write_stream(opened, data)
    else:
        _replace(Path(os.path.realpath(path)), data)


def _descriptor(path: Path) -> int | None:
    """The descriptor of this process that ``path`` leads to, as /dev/stdout and ``>(...)`` do; else None."""
    for _ in range(40):
        folder, name = os.path.realpath(path.parent), path.name
        if re.fullmatch(rf"/proc/(self|{os.getpid()})(/task/\d+)?/fd", folder):
            return int(name) if name.isdecimal() else None
        try:
            path = Path(folder, os.readlink(path))
        except OSError:
            return None
    return None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A device or FIFO, opened for writing without blocking on a FIFO that has no reader."""
    until = time.monotonic() + READER_TIMEOUT_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "it has no reader") from error
            time.sleep(0.05)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_stream(descriptor: int, data: bytes) -> None:
    while data:
        if not select([], [descriptor], [], READER_TIMEOUT_SECONDS)[1]:
            raise TimeoutError(errno.ETIMEDOUT, "it has no reader")
        data = data[os.write(descriptor, data) :]


def _replace(path: Path, data: bytes) -> None:
    if is_link_loop(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    try:
        replace_file(path, data)
    except OSError as error:
        if error.errno not in _NOT_REPLACEABLE or not path.is_file():
            raise
        path.write_bytes(data)
