from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent
from typing import NoReturn

import pytest

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.backends.settings import SiteSettings
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.model import JobSpec


def _never_opened(context: BackendContext) -> NoReturn:
    raise AssertionError("a matrix opens no backend")


class Nodes(SiteSettings):
    max_nodes: int = 64


def _at_most_64_nodes(spec: JobSpec, settings: Nodes) -> Iterable[str]:
    limit = settings.max_nodes
    return [f"a job has at most {limit} nodes here, not {spec.nodes}"] if spec.nodes > limit else []


@pytest.fixture(scope="session")
def site() -> Site:
    """A project with two types of backend and a NAME of its own for one of them."""
    local = BackendType("local", _never_opened, options=frozenset({"slots"}))
    slurm = BackendType(
        "slurm",
        _never_opened,
        settings=Nodes,
        options=frozenset({"partition", "account", "time", "extra"}),
        check=_at_most_64_nodes,
    )
    return Site(types={"local": local, "slurm": slurm}, backends={"big": {"type": "slurm", "max_nodes": 2}})


@pytest.fixture
def load(tmp_path: Path, site: Site) -> Callable[..., Matrix]:
    """Write a matrix and load it."""

    def load(text: str, *, backend: str | None = None) -> Matrix:
        path = tmp_path / "matrices" / "m.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return load_matrix(path, rootdir=tmp_path, site=site, backend=backend)

    return load


@pytest.fixture
def mistakes(load: Callable[..., Matrix]) -> Callable[..., list[str]]:
    """Write a matrix, load it, and give its mistakes as ``line:col: message``."""

    def mistakes(text: str, *, backend: str | None = None) -> list[str]:
        with pytest.raises(MatrixErrors) as caught:
            load(text, backend=backend)
        return [f"{each.line}:{each.col}: {each.message}" for each in caught.value.problems]

    return mistakes
