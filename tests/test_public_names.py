"""The public modules: every name resolves and is documented, and docs and examples import from nowhere
else."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAZY = [f"pytest_clusterjobs{name}" for name in ("", ".backends", ".testing", ".devclusters")]
PUBLIC = [*LAZY, "pytest_clusterjobs.backends.command_line"]
MARKDOWN = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = [ROOT / "conftest.py", *sorted((ROOT / "matrices").rglob("*.py"))]
IMPORT = re.compile(r"^\s*(?:from|import) +(pytest_clusterjobs[\w.]*).*$", re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_and_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for each in module.__all__:
        scope: dict[str, object] = {}
        exec(f"from {name} import {each}", scope)
        value = scope[each]
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            doc = inspect.getdoc(value) or ""
            assert len(doc) > 15 and not doc.startswith(f"{each}("), each


@pytest.mark.parametrize("name", LAZY)
def test_type_checkers_see_the_names_that_are_imported_lazily(name: str) -> None:
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(map(str, seen)) == sorted(module.__all__)


@pytest.mark.parametrize("name", LAZY)
def test_an_unknown_public_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Nope'"):
        importlib.import_module(name).Nope  # noqa: B018


@pytest.mark.parametrize("path", [*MARKDOWN, *PYTHON], ids=lambda path: path.name)
def test_docs_and_examples_import_public_names_only(path: Path) -> None:
    for module, name in _imports(path.read_text(encoding="utf-8")):
        assert module in PUBLIC, f"{module} is internal"
        assert name in importlib.import_module(module).__all__, f"{module} does not list {name}"


def _imports(text: str) -> Iterator[tuple[str, str]]:
    """The modules of this package that a text imports from, and the names."""
    for match in IMPORT.finditer(text):
        (statement,) = ast.parse(match[0].strip()).body
        assert isinstance(statement, ast.ImportFrom), f"write `from {match[1]} import NAME`"
        for alias in statement.names:
            yield match[1], alias.name
