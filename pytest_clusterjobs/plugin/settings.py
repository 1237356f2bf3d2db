"""The settings of a session, read once: command line over ini options over ``pyproject.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from ..api.project import home_of
from ..backends.registry import read_site
from ..backends.registry import SiteError
from ..engine.config import Mode
from ..engine.config import RunConfig
from ..ledger.home import Home
from ..ledger.run_folder import find_run
from ..ledger.run_folder import LEDGER
from ..ledger.run_folder import NoSuchRun
from ..ledger.run_folder import REPORT
from ..ledger.trust import demand_trust
from ..ledger.trust import Untrusted
from ..model.text import one_line
from ..reports.place import is_link_loop
from ..reports.place import is_other_file
from ..reports.place import is_stream
from ..reports.place import JSON_REPORT
from ..reports.place import named_in
from ..reports.place import place
from .options import DEFAULT_MAX_JOBS


@dataclass(frozen=True)
class SessionSettings:
    """The settings of one pytest session."""

    run_config: RunConfig
    home: Home
    backend: str | None
    """NAME of the backend that replaces those of the matrices."""
    order: Literal["completion", "file"]
    json_path: Path | None
    """The path of the JSON report, or None; a relative path is in the run's folder."""
    require_clean_git: bool
    run: Path | None = None
    """The folder of the earlier run that is checked or resumed."""


_KEY = pytest.StashKey[SessionSettings]()


def settings_of(config: pytest.Config) -> SessionSettings:
    """The session's settings, read on first use. Raises pytest.UsageError."""
    if _KEY not in config.stash:
        config.stash[_KEY] = _read(config)
    return config.stash[_KEY]


def _read(config: pytest.Config) -> SessionSettings:
    option = config.option
    try:
        site = read_site(config.rootpath)
    except SiteError as error:
        raise pytest.UsageError(str(error)) from error
    if option.cluster_backend is not None:
        try:
            site.settings(option.cluster_backend)
        except SiteError as error:
            message = "\n".join(f"--cluster-backend: {fault}" for fault in error.faults)
            raise pytest.UsageError(message) from error
    # Use file order if pytest's own bookkeeping depends on the order of items.
    by_file = option.cluster_order == "file" or bool(getattr(option, "stepwise", False))
    mode = _mode(config)
    run_config = RunConfig(
        rootdir=config.rootpath,
        site=site,
        # A launch does not wait for jobs, so it does not limit how many are live.
        max_jobs=None if mode is Mode.LAUNCH else option.cluster_max_jobs or DEFAULT_MAX_JOBS,
        max_nodes=option.cluster_max_nodes,
        on_crash=option.cluster_on_crash,
        mode=mode,
        waits=mode in (Mode.RUN, Mode.RESUME) or option.cluster_check_wait,
    )
    return SessionSettings(
        run_config=run_config,
        home=home_of(config),
        backend=option.cluster_backend,
        order="file" if by_file else "completion",
        json_path=_json_path(config),
        require_clean_git=config.getini("cluster_require_clean_git"),
        run=_run(config, mode),
    )


def _mode(config: pytest.Config) -> Mode:
    option = config.option
    given_modes = {
        Mode.LAUNCH: option.cluster_launch,
        Mode.CHECK: option.cluster_check is not None,
        Mode.RESUME: option.cluster_resume is not None,
    }
    modes = [mode for mode, given in given_modes.items() if given]
    if len(modes) > 1:
        options = " and ".join(f"--cluster-{mode}" for mode in modes)
        raise pytest.UsageError(f"{options} cannot be combined: write one of them")
    mode = modes[0] if modes else Mode.RUN
    if option.cluster_check_wait and mode is not Mode.CHECK:
        raise pytest.UsageError("--cluster-check-wait needs --cluster-check")
    if modes and getattr(option, "numprocesses", None):
        raise pytest.UsageError(
            f"--cluster-{mode} cannot be combined with -n: leave out -n, cells need no workers"
        )
    return mode


def _run(config: pytest.Config, mode: Mode) -> Path | None:
    if mode.is_new:
        return None
    name = config.option.cluster_check if mode is Mode.CHECK else config.option.cluster_resume
    try:
        found = find_run(home_of(config).runs, name)
        demand_trust(found / LEDGER)
        return found
    except Untrusted as error:
        raise pytest.UsageError(f"--cluster-{mode}: {one_line(str(error), 1000)}") from error
    except NoSuchRun as error:
        hint = f" (write paths before --cluster-{mode}, or write --cluster-{mode}=RUN)"
        raise pytest.UsageError(
            f"--cluster-{mode}: {one_line(str(error), 1000)}{hint if Path(name).exists() else ''}"
        ) from error


PATH_IN_RUN = Path(REPORT)
"""The JSON report in the run's own folder."""


def _json_path(config: pytest.Config) -> Path | None:
    """Where the JSON report goes. Raises pytest.UsageError for a file of another program."""
    start = config.invocation_params.dir
    if config.option.cluster_json:
        path = place(config.option.cluster_json, start)
        if path is not None and (why := _why_not(config, path)) is not None:
            raise pytest.UsageError(f"--cluster-json: {one_line(str(path), 500)} {why}")
        return path
    xml = getattr(config.option, "xmlpath", None)
    # For pytest, --junitxml=- names a file.
    path = place(f"./{xml}" if xml in ("-", "none") else xml, start) if xml else None
    if path is None or is_stream(path):
        return PATH_IN_RUN
    names = (path.with_suffix(".json"), path.with_suffix(".clusterjobs.json"))
    return next((each for each in names if _why_not(config, each) is None), PATH_IN_RUN)


def _why_not(config: pytest.Config, path: Path) -> str | None:
    """Why the JSON report cannot go to a path; None if it can."""
    if path.is_dir():
        return "is a folder: name a file in it"
    if is_link_loop(path):
        return "is a link that leads back to itself: remove it, or name a file"
    other = named_in(vars(config.option), path, config.invocation_params.dir)
    if other is not None:
        return f"is what another option ({other}) names too: give each a file of its own"
    if is_other_file(path, JSON_REPORT):
        return "is not a JSON report of pytest-clusterjobs and is not overwritten: remove it, or name another file"
    return None
