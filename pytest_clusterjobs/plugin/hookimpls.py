"""The pytest plugin: wiring only. Nothing heavy is imported until a matrix is collected."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import pytest

from .options import add_options
from .options import DEFAULT_FOLDER
from .options import DEFAULT_MATRICES
from .options import MATRICES
from .options import reject_separate_folder
from .options import SUFFIXES

if TYPE_CHECKING:
    from ..api.jobs import Jobs
    from .completion_order import CompletionLoop
    from .items import MatrixFile
    from .launched_collection import LaunchedCollection
    from .matrix_files import MatrixFinder

_COLLECTED = pytest.StashKey[bool]()

_FINDER: pytest.StashKey[MatrixFinder] = pytest.StashKey()

_CHECKING = "clusterjobs-checking"

FIXTURE = "clusterjobs"

_RUN_MODULES = (
    "pytest_clusterjobs.backends.local.client",
    "pytest_clusterjobs.api.validation",
    "pytest_clusterjobs.api.scripts",
    "pytest_clusterjobs.plugin.launched_collection",
    "pytest_clusterjobs.plugin.single_process",
    "pytest_clusterjobs.plugin.xdist_worker",
)
"""Modules whose import loads everything that a run needs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks for users."""
    from . import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the ``timeout`` mark if pytest-timeout does not, and reject meaningless settings."""
    reject_separate_folder(config)
    manager = config.pluginmanager
    if not (manager.hasplugin("timeout") or manager.hasplugin("pytest_timeout")):
        config.addinivalue_line("markers", "timeout(seconds): how long a cell's job may run")
    if _has_own_patterns(config):
        from .matrix_files import check_patterns

        check_patterns(config)


def pytest_plugin_registered(plugin_name: str) -> None:
    """Import everything that runs matrices before pytester, which removes modules that an inner run imports.

    C extensions, and packages of which only a part is removed, cannot be imported again.
    """
    if plugin_name == "pytester":
        for module in _RUN_MODULES:
            import_module(module)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """In a check or a resume, the run determines which cells there are."""
    option = session.config.option
    if option.cluster_check is not None or option.cluster_resume is not None:
        from .launched_collection import LaunchedCollection

        session.config.pluginmanager.register(LaunchedCollection(session.config), _CHECKING)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect YAML files that are matrices, and remember those that nothing collects."""
    others = yield
    if file_path.suffix.lower() not in SUFFIXES:
        return others
    config, finder = parent.config, _finder(parent.session)
    checking: LaunchedCollection | None = config.pluginmanager.get_plugin(_CHECKING)
    of_run = checking is not None and checking.has(finder.nodeid(file_path))
    if not of_run and not finder.is_matrix(file_path, taken=bool(others)):
        if not others:
            finder.uncollected.append(file_path)
        return others
    nodeid = finder.nodeid(file_path)
    if finder.is_second(file_path, nodeid):
        return others
    from .items import MatrixFile

    config.stash[_COLLECTED] = True
    file: MatrixFile = MatrixFile.from_parent(parent, path=file_path, nodeid=nodeid)
    if not of_run:
        file.refusal = finder.refusal(file_path)
    return [*others, file]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Drop cyclic links, and report dangling ones, in the folders that are searched for matrices."""
    report = yield
    if isinstance(collector, pytest.Directory) and report.passed and _may_look_into(collector):
        from .uncollected import fix_links

        fix_links(collector, report.result, _finder(collector.session))
    return report


def _may_look_into(folder: pytest.Directory) -> bool:
    """Whether a folder may contain a matrix: a cheap test, without imports, that rules out most folders."""
    return _has_own_patterns(folder.config) or DEFAULT_FOLDER in folder.path.parts


def _has_own_patterns(config: pytest.Config) -> bool:
    return bool(config.getini(MATRICES) != DEFAULT_MATRICES)


def _finder(session: pytest.Session) -> MatrixFinder:
    if _FINDER not in session.stash:
        from .matrix_files import MatrixFinder

        session.stash[_FINDER] = MatrixFinder(session)
    return session.stash[_FINDER]


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config) -> None:
    """Report the matrices that are not collected.

    It is an error if one of the project's own patterns has none.
    """
    if not _has_own_patterns(config) and _FINDER not in session.stash:
        return
    from .uncollected import unmatched
    from .uncollected import warn_of_files

    finder = _finder(session)
    warn_of_files(finder, config)
    if _has_own_patterns(config) and not config.pluginmanager.hasplugin(_CHECKING):
        # Also without any: plugins that remember failures, such as pytest's cache, then forget earlier ones.
        mistakes = "\n".join(unmatched(finder, session)) or None
        report = pytest.CollectReport(MATRICES, "failed" if mistakes else "passed", mistakes, [])
        session.ihook.pytest_collectreport(report=report)


def uses_jobs(session: pytest.Session) -> bool:
    """Whether a selected test requests the fixture ``clusterjobs``, directly or through another fixture."""
    return any(FIXTURE in getattr(item, "fixturenames", ()) for item in session.items)


@pytest.fixture
def clusterjobs(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """Submit jobs from a Python test: ``job = clusterjobs.submit("nvidia-smi", nodes=2)``.

    ``job.wait()`` waits for its end, and returns its outcome. A job that the test does not wait for is
    cancelled when the test ends.
    """
    from .fixture import jobs_of

    with jobs_of(request) as jobs:
        yield jobs


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Register the plugin that runs jobs, if any, before xdist reports the collection to its controller."""
    config = session.config
    submits = uses_jobs(session)
    manager = config.pluginmanager
    if not submits and not config.stash.get(_COLLECTED, False) and not manager.hasplugin(_CHECKING):
        return
    if submits:
        from .fixture import Expectations

        manager.register(Expectations(), "clusterjobs-expectations")
    folder = getattr(config, "workerinput", {}).get("clusterjobs_folder")
    if folder is not None:
        from .xdist_worker import python_tests_first
        from .xdist_worker import want_run
        from .xdist_worker import XdistWorker

        if submits:
            want_run(config, Path(folder))
        python_tests_first(session)
        manager.register(XdistWorker(config, Path(folder)), "clusterjobs-worker")
        return
    from .completion_order import CompletionLoop
    from .settings import settings_of
    from .single_process import SingleProcess

    manager.register(CompletionLoop(), "clusterjobs-loop")
    manager.register(SingleProcess(config, settings_of(config)), "clusterjobs-single")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run cells as their jobs end. A conftest's loop precedes this one, which is registered earlier."""
    loop: CompletionLoop | None = session.config.pluginmanager.get_plugin("clusterjobs-loop")
    return None if loop is None else loop.run(session)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the location of the run to an xdist worker."""
    from .hints import RERUN
    from .hints import run_again
    from .xdist_controller import XdistController

    config = node.config
    manager = config.pluginmanager
    controller = manager.get_plugin("clusterjobs-controller")
    if controller is None:
        option = config.option
        if option.cluster_launch or option.cluster_check is not None or option.cluster_resume is not None:
            from .settings import settings_of

            settings_of(config)
        controller = XdistController(config)
        manager.register(controller, "clusterjobs-controller")
    node.workerinput["clusterjobs_folder"] = str(controller.folder)
    node.workerinput[RERUN] = run_again(config)
