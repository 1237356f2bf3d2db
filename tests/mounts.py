"""File systems for a single test: small, read-only, breaking, or not known to be local. They need root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *command: str) -> Iterator[Path]:
    """Mount something on ``folder`` with this command; skip the test if that is not allowed.

    It fails the test instead if CLUSTERJOBS_REQUIRE names the program, as for the ``require`` fixture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = None
    if shutil.which(command[0]):
        done = subprocess.run([*command, str(folder)], check=False, capture_output=True, text=True)
    if done is None or done.returncode:
        why = f"cannot {' '.join(command[:3])}: {done.stderr.strip() if done else 'not installed'}"
        if command[0] in os.environ.get("CLUSTERJOBS_REQUIRE", "").split(","):
            pytest.fail(why)
        pytest.skip(why)
    try:
        yield folder
    finally:
        # Lazily, so that a process that is still ending does not make the test fail.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def small(folder: Path, kilobytes: int) -> AbstractContextManager[Path]:
    """A small file system, which a test can fill."""
    return mounted(folder, "mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")


def elsewhere(folder: Path) -> AbstractContextManager[Path]:
    """A file system that may be shared with other hosts: FUSE, with a folder beside it as its disk."""
    disk = folder.with_name(f"{folder.name}-disk")
    disk.mkdir()
    return mounted(folder, "bindfs", str(disk))


def read_only(folder: Path) -> AbstractContextManager[Path]:
    """Make a folder read-only, even for root."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False, capture_output=True)
    return mounted(folder, "mount", "-o", "remount,bind,ro")


@contextmanager
def that_breaks(folder: Path) -> Iterator[Callable[[], None]]:
    """A disk of its own, and a function that makes it read-only, like an error of the hardware."""
    image = folder.with_name(f"{folder.name}-image")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mkfs.ext4: {made.stderr}")
    with mounted(folder, "mount", "-o", "loop,errors=remount-ro", str(image)):
        device = os.stat(folder).st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name

        def break_it() -> None:
            Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("a test")

        yield break_it
