"""The pytest plugin: wiring only, and nothing heavy until a matrix is collected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import pytest

from .by_hand import uses_jobs
from .options import add_options
from .options import is_matrix
from .options import refuse_folder_apart

if TYPE_CHECKING:
    from .by_hand.jobs import Jobs
    from .checking import Checking
    from .collect import MatrixFile
    from .single import CompletionLoop

_COLLECTED = pytest.StashKey[bool]()

_CHECKING = "clusterjobs-checking"

_OF_RUNS = (
    ".backends.local.client",
    ".by_hand.checks",
    ".by_hand.session",
    ".checking",
    ".killing",
    ".single",
    ".xdist",
)
"""Modules that between them import whatever a run does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer hooks to users."""
    from . import newhooks

    pluginmanager.add_hookspecs(newhooks)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the ``timeout`` mark where pytest-timeout does not."""
    refuse_folder_apart(config)
    manager = config.pluginmanager
    if not (manager.hasplugin("timeout") or manager.hasplugin("pytest_timeout")):
        config.addinivalue_line("markers", "timeout(seconds): how long a cell's job may run")


def pytest_plugin_registered(plugin_name: str) -> None:
    """Import all that runs matrices before pytester does: it has Python forget what an inner run imported.

    C extensions, and packages of which a part stays, do not survive being imported again.
    """
    if plugin_name == "pytester":
        for module in _OF_RUNS:
            import_module(module, __package__)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --cluster-kill there is no session, only an end to another one's jobs."""
    if config.option.cluster_kill is None:
        return None
    from .killing import kill

    return kill(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """In a check or a resume, the run decides which cells there are."""
    option = session.config.option
    if option.cluster_check is not None or option.cluster_resume is not None:
        from .checking import Checking

        session.config.pluginmanager.register(Checking(session.config), _CHECKING)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> MatrixFile | None:
    """Claim YAML files that are matrices by pattern, by their run, or that are named on the command line."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    config = parent.config
    checking: Checking | None = config.pluginmanager.get_plugin(_CHECKING)
    named = parent.session.isinitpath(file_path) or (checking is not None and checking.has(file_path))
    if not named and not is_matrix(file_path, config.rootpath, config.getini("cluster_matrices")):
        return None
    from .collect import MatrixFile
    from .jobs.paths import legible

    config.stash[_COLLECTED] = True
    # pytest gives every file outside of rootdir that is named by itself the same, empty node id.
    nodeid = legible(Path(os.path.relpath(file_path, config.rootpath)).as_posix())
    file: MatrixFile = MatrixFile.from_parent(parent, path=file_path, nodeid=nodeid)
    return file


@pytest.fixture
def clusterjobs(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """Submit job specs from a Python test: ``job = clusterjobs.submit("nvidia-smi", nodes=2)``, ``job.wait()``.

    A job that the test does not wait for is cancelled when the test ends.
    """
    from .by_hand.fixture import jobs_of

    with jobs_of(request) as jobs:
        yield jobs


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Add what runs jobs, if there are any; before xdist tells its controller of the collection."""
    config = session.config
    by_hand = uses_jobs(session)
    manager = config.pluginmanager
    if not by_hand and not config.stash.get(_COLLECTED, False) and not manager.hasplugin(_CHECKING):
        return
    if by_hand:
        from .by_hand.fixture import Expectations

        manager.register(Expectations(), "clusterjobs-by-hand")
    folder = getattr(config, "workerinput", {}).get("clusterjobs_folder")
    if folder is not None:
        from .xdist import python_tests_first
        from .xdist import want_run
        from .xdist import Worker

        if by_hand:
            want_run(config, Path(folder))
        python_tests_first(session)
        manager.register(Worker(config, Path(folder)), "clusterjobs-worker")
        return
    from .settings import settings_of
    from .single import CompletionLoop
    from .single import SingleProcess

    manager.register(CompletionLoop(), "clusterjobs-loop")
    manager.register(SingleProcess(config, settings_of(config)), "clusterjobs-single")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run cells as their jobs end. A conftest's loop is asked before this one, which is registered earlier."""
    loop: CompletionLoop | None = session.config.pluginmanager.get_plugin("clusterjobs-loop")
    return None if loop is None else loop.run(session)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run will be."""
    from .controller import Controller
    from .hints import RERUN
    from .hints import run_again

    config = node.config
    manager = config.pluginmanager
    controller = manager.get_plugin("clusterjobs-controller")
    if controller is None:
        option = config.option
        if option.cluster_launch or option.cluster_check is not None or option.cluster_resume is not None:
            from .settings import settings_of

            settings_of(config)
        controller = Controller(config)
        manager.register(controller, "clusterjobs-controller")
    node.workerinput["clusterjobs_folder"] = str(controller.folder)
    node.workerinput[RERUN] = run_again(config)
