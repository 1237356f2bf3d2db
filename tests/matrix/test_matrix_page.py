"""Every example on the page about the format is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.environment import job_variables
from pytest_clusterjobs.backends.environment import node_variables
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.matrix.model import Document
from pytest_clusterjobs.matrix.model import Fragment
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model.spec import RECIPE_FILE
from pytest_clusterjobs.model.token import STAND_IN

PAGE = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"(?<!<!-- mistakes -->\n)^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The folder of the examples, with the files that some of them name."""
    folder = tmp_path / "matrices"
    (folder / "configs" / "nav").mkdir(parents=True)
    (folder / "configs" / "nav" / "small.yaml").write_text("learning_rate: 0.1")
    (folder / "generated.json").write_text('{"arena": "python -m train arena"}')
    return folder / "example.yaml"


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_matrix_that_loads(example: Path, site: Site, text: str) -> None:
    example.write_text(text)
    matrix = load_matrix(example, rootdir=example.parents[1], site=site)
    assert matrix.cells
    assert matrix.warnings == ()


def test_the_mistakes_are_shown_as_the_page_says(example: Path, site: Site) -> None:
    shown = re.search(
        r"<!-- mistakes -->\n```yaml\n(.*?)^```\n+```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
    )
    assert shown is not None
    example.write_text(shown[1])
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(example, rootdir=example.parents[1], site=site)
    assert str(caught.value) == shown[2].rstrip()


def test_the_first_example_has_the_cells_that_the_page_counts(example: Path, site: Site) -> None:
    example.write_text(EXAMPLES[0])
    cells = load_matrix(example, rootdir=example.parents[1], site=site).cells
    assert len(cells) == 12
    assert "arena-2n-heartbeat_timeout" in {cell.id for cell in cells}


def test_the_page_names_every_variable_of_a_job() -> None:
    spec = JobSpec("x", recipe="arena", condition="c")
    node = node_variables(rank=0, restarts=0, address="", port=1, hostfile="", heartbeat_file="")
    for name in {*job_variables(spec, STAND_IN), *node, RECIPE_FILE}:
        assert re.search(rf"^\| .*`{name}`.* \|", PAGE, re.MULTILINE), name


@pytest.mark.parametrize("key", [*Document.model_fields, *Fragment.model_fields])
def test_the_page_names_every_key(key: str) -> None:
    assert f"`{key}`" in PAGE
