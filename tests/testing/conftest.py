from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"


@pytest.fixture(scope="session")
def page_files() -> dict[str, str]:
    """The code blocks of docs/backends.md that begin with a file's name, by that name."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return dict(blocks)


@pytest.fixture(scope="session")
def foldercluster(
    page_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModuleType]:
    """The complete example backend of the page, imported."""
    yield from imported("foldercluster", page_files, tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="session")
def spoolbackend(
    page_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModuleType]:
    """The page's backend for a scheduler with commands, imported."""
    yield from imported("spoolbackend", page_files, tmp_path_factory.mktemp("example"))


def imported(name: str, files: dict[str, str], folder: Path) -> Iterator[ModuleType]:
    (folder / f"{name}.py").write_text(files[f"{name}.py"], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module(name)
        sys.modules.pop(name, None)
