"""Replacements for two programs that a launched cluster would download.

SkyPilot prepares each cluster from scratch: it installs uv with a script from astral.sh, and lets uv download
CPython 3.10 from GitHub. A test machine may reach neither. Everything else is real: uv makes the environment,
and installs SkyPilot and its dependencies from the package index.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

INSTALLER = "https://astral.sh/uv/install.sh"
PINNED = "3.10"

CURL = """\
#!/bin/sh
# SkyPilot pipes uv's installer into sh. This installer copies the uv beside this file; other URLs go to curl.
for word do
    if [ "$word" = {installer} ]; then
        echo 'mkdir -p "$UV_INSTALL_DIR" && cp {uv} "$UV_INSTALL_DIR/uv"'
        exit
    fi
done
exec {curl} "$@"
"""

UV = """\
#!/bin/bash
# SkyPilot requests Python {pinned}, which uv would download; it gets the Python of SkyPilot's server.
words=()
for word do
    [ "$word" = {pinned} ] && word={python}
    words+=("$word")
done
exec {uv} "${{words[@]}}"
"""


def write_shims(folder: Path, programs: Mapping[str, str], python: Path) -> None:
    """Write ``curl`` and ``uv`` into ``folder``, which is the first on a login's PATH only."""
    own = folder / "uv"
    texts = {
        "curl": CURL.format(installer=INSTALLER, uv=own, curl=shlex.quote(programs["curl"])),
        "uv": UV.format(pinned=PINNED, python=shlex.quote(str(python)), uv=shlex.quote(programs["uv"])),
    }
    folder.mkdir()
    for name, text in texts.items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
