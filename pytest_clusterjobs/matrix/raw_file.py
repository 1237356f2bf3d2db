"""Files before they are loaded: their bytes, and the keys that distinguish a matrix from other YAML."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 16 * 2**20
"""The largest matrix file that is read."""

NAMES_RECIPES = frozenset({"recipes", "recipe_files", "recipes_from"})
"""The top-level keys of which each matrix has one, and no other tool's YAML does."""


def read_regular(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file, without waiting.

    Raises OSError; FileNotFoundError also for a FIFO or folder.
    """
    # Files of /proc and /sys appear as regular ones, and reading some of them waits for new data.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
        with open(number, "rb", closefd=False) as stream:
            return stream.read(most) or b""
    finally:
        os.close(number)


def top_level_keys(data: bytes) -> Iterator[str]:
    """The keys of a YAML text's outermost mapping, in turn.

    Raises ValueError where the text stops being YAML.
    """
    import yaml

    depth, is_key = 0, True
    try:
        # Events are read one by one, without recursion: what follows the wanted key is not read.
        for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                    return
                depth += 1
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif not isinstance(event, yaml.NodeEvent):
                continue
            elif depth == 1 and is_key and isinstance(event, yaml.ScalarEvent):
                yield event.value
            if depth == 0:
                return
            if depth == 1:
                is_key = not is_key
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error
