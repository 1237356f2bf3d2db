"""A cell beyond the capabilities of its backend is an error at collection, at its place in the matrix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Annotated
from typing import Any
from typing import NoReturn

import pytest
from pydantic import Field

from pytest_clusterjobs.backends.limits import objections
from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.backends.settings import SiteSettings
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.model import JobSpec

State = Callable[[Any], Any]
Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


def _never_opened(context: BackendContext) -> NoReturn:
    raise AssertionError("a matrix opens no backend")


class Mine(SiteSettings):
    nodes: Annotated[int, Field(ge=1)] = 1
    restarts: bool = False


def _stated(settings: Mine) -> Capabilities:
    return Capabilities(max_nodes=settings.nodes, restarts=settings.restarts)


def _site(state: State | None = _stated, **settings: Any) -> Site:
    mine = BackendType("mine", _never_opened, Mine, capabilities=state)
    other = BackendType("other", _never_opened)
    return Site(types={"mine": mine, "other": other}, backends={"small": {"type": "mine", **settings}})


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a matrix and load it for the backend ``small``."""

    def load(text: str, site: Site | None = None, backend: str = "small") -> Matrix:
        path = tmp_path / "m.yaml"
        path.write_text(dedent(text))
        return load_matrix(path, rootdir=tmp_path, site=site or _site(), backend=backend)

    return load


@pytest.fixture
def mistakes(load: Load) -> Mistakes:
    """The mistakes of a matrix as ``line:col: message``."""

    def mistakes(text: str, site: Site | None = None) -> list[str]:
        with pytest.raises(MatrixErrors) as caught:
            load(text, site)
        return [f"{each.line}:{each.col}: {each.message}" for each in caught.value.problems]

    return mistakes


def test_too_large_a_node_count_is_reported_once_at_its_place(mistakes: Mistakes) -> None:
    assert mistakes("recipes: {a: x, b: x}\nnodes: [1, 2, 8]\nconditions: {c: {}, d: {}}") == [
        "2:12: backend small runs jobs of 1 node at most, not of 2 nodes: choose another backend, or"
        " `exclude: [{backend: small, nodes: 2}]` (cells a-2n-c and 3 more)",
        "2:15: backend small runs jobs of 1 node at most, not of 8 nodes: choose another backend, or"
        " `exclude: [{backend: small, nodes: 8}]` (cells a-8n-c and 3 more)",
    ]


def test_too_large_a_node_count_of_an_include_is_reported_at_its_nodes(mistakes: Mistakes) -> None:
    text = "recipes: {a: x}\ninclude: [{recipe: a, condition: normal_completion, nodes: 4}]"
    (found,) = mistakes(text)
    assert found == (
        "2:60: backend small runs jobs of 1 node at most, not of 4 nodes: choose another backend, or"
        " `only: {backend: OTHER}` in this include (cell a-4n-normal_completion)"
    )


def test_restarts_are_reported_where_they_are_requested(mistakes: Mistakes) -> None:
    text = "recipes: {a: x}\nconditions:\n  c: {max_restarts: 3}\n  d: {max_restarts: 0}"
    assert mistakes(text) == [
        "3:21: backend small does not start jobs again, max_restarts is 3: choose another backend, or"
        " `overrides: [{where: {backend: small}, max_restarts: 0}]` (cell a-1n-c)"
    ]


def test_more_restarts_than_the_backend_supports_are_a_mistake(mistakes: Mistakes) -> None:
    site = _site(lambda settings: Capabilities(max_restarts=9))
    (found,) = mistakes("recipes: {a: x}\ndefaults: {max_restarts: 10}", site)
    assert found.startswith("2:26: backend small starts a job again 9 times at most, max_restarts is 10: ")


def test_a_backend_type_explains_what_lifts_a_limit(mistakes: Mistakes) -> None:
    site = _site(lambda settings: Capabilities(max_nodes=2, remedies={"max_nodes": "raise slots"}))
    (found,) = mistakes("recipes: {a: x}\nnodes: [3]", site)
    assert "at most, not of 3 nodes: raise slots, or choose another backend, or `exclude:" in found


def test_following_the_advice_solves_the_problem(load: Load) -> None:
    text = """
    defaults: {max_restarts: 1}
    recipes: {a: x}
    nodes: [1, 8]
    exclude: [{backend: small, nodes: 8}]
    overrides: [{where: {backend: small}, max_restarts: 0}]
    """
    narrow, wide = load(text).cells
    assert narrow.skip is None and wide.skip == "excluded on backend small"
    assert [cell.skip for cell in load(text, backend="other").cells] == [None, None]


def test_layers_for_another_backend_are_not_checked(load: Load) -> None:
    """Neither by its limits nor by its own check, since it gets no job."""
    text = "recipes: {a: {run: x, only: {backend: other}}}\nnodes: [8]"
    (cell,) = load(text).cells
    assert cell.skip == "only for backend other"


def test_site_settings_decide_the_limit(load: Load) -> None:
    assert len(load("recipes: {a: x}\nnodes: [1, 8]", _site(nodes=8)).cells) == 2
    assert len(load("recipes: {a: x}\ndefaults: {max_restarts: 3}", _site(restarts=True)).cells) == 1


def test_a_type_without_capabilities_has_no_limits(load: Load) -> None:
    assert len(load("recipes: {a: x}\nnodes: [1, 8]\ndefaults: {max_restarts: 3}", _site(None)).cells) == 2


def test_each_invalid_setting_is_one_mistake(mistakes: Mistakes) -> None:
    assert mistakes("recipes: {a: x, b: x}\nnodes: [1, 2]", _site(nodes=0, restart=True)) == [
        "1:1: --cluster-backend: pyproject.toml: [tool.clusterjobs.backends.small]: nodes must be at least 1, not 0",
        "1:1: --cluster-backend: pyproject.toml: [tool.clusterjobs.backends.small]: unknown setting 'restart', "
        "did you mean 'restarts'?",
    ]


def test_a_type_whose_capabilities_raise_an_error_of_its_own_is_one_mistake(mistakes: Mistakes) -> None:
    def state(settings: Mine) -> Capabilities:
        raise BackendError("no licence")

    found = mistakes("recipes: {a: x, b: x}\nnodes: [1, 2]", _site(state))
    assert found == ["1:1: --cluster-backend: backend 'small': no licence"]


def _fails(settings: Mine) -> Capabilities:
    raise KeyError("no\nsuch key")


def _of(**fields: Any) -> State:
    return lambda settings: Capabilities(**fields)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (_fails, r"reading its capabilities fails with KeyError: 'no\nsuch key'"),
        (lambda: None, "reading its capabilities fails with TypeError: "),
        (lambda settings: None, "its capabilities must be Capabilities, not None"),
        (lambda settings: {"max_nodes": 1}, "its capabilities must be Capabilities, not {'max_nodes': 1}"),
        (_of(max_nodes="1"), "max_nodes must be a whole number of at least 1, or None, not '1'"),
        (_of(max_nodes=0), "max_nodes must be a whole number of at least 1, or None, not 0"),
        (_of(max_nodes=True), "max_nodes must be a whole number of at least 1, or None, not True"),
        (_of(max_restarts=1.5), "max_restarts must be a whole number, or None, not 1.5"),
        (_of(restarts="no"), "restarts must be True or False, not 'no'"),
        (_of(ids_per_poll=0), "ids_per_poll must be a whole number of at least 1, not 0"),
        (_of(log_settle=None), "log_settle must be a number of seconds, not None"),
        (_of(submissions_per_second=0), "submissions_per_second must be a number above 0"),
        (_of(remedies={"max_nodes": 3}), "remedies must be a mapping of text"),
    ],
)  # fmt: skip
def test_invalid_capabilities_are_one_mistake(mistakes: Mistakes, state: State, words: str) -> None:
    (found,) = mistakes("recipes: {a: x, b: x}\nnodes: [1, 2]", _site(state))
    assert found.startswith("1:1: --cluster-backend: backend 'small': ") or "backends.small]" in found
    assert words in found


def test_a_check_that_fails_is_one_mistake() -> None:
    kind = BackendType("mine", _never_opened, check=lambda spec, settings: [1 // 0])  # type: ignore[list-item]
    (found,) = objections(JobSpec("true"), Capabilities(), "mine", kind, None)
    assert found.message() == (
        "backend mine: its check fails with ZeroDivisionError: integer division or modulo by zero"
    )
