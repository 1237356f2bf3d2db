"""What a launched cluster fetches from the internet, and has from this machine instead.

SkyPilot prepares each cluster as if it had nothing: it installs uv with a script from astral.sh, and has uv
fetch CPython 3.10 from GitHub. A machine for tests may reach neither, and no test is to fail for the want of them.
Everything else is real: uv makes the environment, and installs SkyPilot and what it needs from the package index.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

INSTALLER = "https://astral.sh/uv/install.sh"
PINNED = "3.10"

CURL = """\
#!/bin/sh
# SkyPilot pipes uv's installer into sh; that installs the uv beside this file. For everything else there is curl.
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
# SkyPilot asks for Python {pinned}, which uv would download: it gets the Python that SkyPilot's server runs on.
words=()
for word do
    [ "$word" = {pinned} ] && word={python}
    words+=("$word")
done
exec {uv} "${{words[@]}}"
"""


def write_shims(folder: Path, programs: Mapping[str, str], python: Path) -> None:
    """Write ``curl`` and ``uv`` into ``folder``, to be the first on a login's PATH and on nobody else's."""
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
