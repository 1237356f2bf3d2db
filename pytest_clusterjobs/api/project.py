"""Where a project keeps its runs, also without a session, by pytest's own rules for rootdir and options."""

from __future__ import annotations

import os
import re
import shlex
from argparse import ArgumentParser
from argparse import Namespace
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import NoReturn

import pytest

from ..ledger.home import Home

DIRECTORY_OPTION = "--cluster-dir"

DIRECTORY_VARIABLE = "CLUSTERJOBS_DIR"

DIRECTORY_INI = "cluster_dir"

_UNEXPANDED = re.compile(r"~|.*\$[{\w]", re.DOTALL)


def home_of(config: pytest.Config) -> Home:
    """The folder with the runs of this session's project. Raises pytest.UsageError."""
    start = config.invocation_params.dir
    return _home(
        config.rootpath, config.option.cluster_dir, config.getini(DIRECTORY_INI), config.inipath, start
    )


@dataclass(frozen=True, slots=True)
class FoundProject:
    """The project that pytest would find if it were started here."""

    rootdir: Path
    inipath: Path | None
    home: Home


@dataclass(frozen=True, slots=True)
class Setup:
    """The rootdir and settings that pytest starts from."""

    rootdir: Path
    inipath: Path | None
    ini: Mapping[str, Any]
    """The options of the ini file and those that override them."""


def setup_of(
    paths: Sequence[str], *, rootdir: str | None, inifile: str | None, overrides: Sequence[str] | None
) -> Setup:
    """What pytest would start from here with these arguments, without plugins. Raises pytest.UsageError.

    pytest's public API would load the project's plugins and conftest files. The rules cannot be reimplemented
    here: they differ between versions of pytest, and with other rules the command would read another
    project's runs.
    """
    from _pytest.config.findpaths import determine_setup

    try:
        root, inipath, ini, *_ = determine_setup(
            inifile=inifile,
            override_ini=overrides,
            args=list(paths),
            rootdir_cmd_arg=rootdir,
            invocation_dir=Path.cwd(),
        )
    except (pytest.fail.Exception, OSError, ValueError) as error:
        raise pytest.UsageError(str(error)) from error
    # pytest before 9.1 stores the bare values.
    return Setup(root, inipath, {name: getattr(value, "value", value) for name, value in ini.items()})


def find(
    paths: Sequence[str] = (),
    *,
    rootdir: str | None = None,
    inifile: str | None = None,
    cluster_dir: str | None = None,
) -> FoundProject:
    """The project that pytest would find for these paths or in ``rootdir``, with its runs.

    Raises pytest.UsageError.
    """
    start = Path.cwd()
    environment = _options("PYTEST_ADDOPTS", os.environ.get("PYTEST_ADDOPTS", ""))
    root = rootdir or environment.rootdir
    setup = setup_of(
        [root] if root else paths,
        rootdir=root,
        inifile=inifile or environment.inifile,
        overrides=environment.overrides,
    )
    by_default = _options(f"addopts in {setup.inipath}", setup.ini.get("addopts", ""))
    chosen = (
        each for each in (cluster_dir, environment.cluster_dir, by_default.cluster_dir) if each is not None
    )
    ini = setup.ini.get(DIRECTORY_INI, "")
    home = _home(setup.rootdir, next(chosen, None), str(ini), setup.inipath, start)
    return FoundProject(setup.rootdir, setup.inipath, home)


def _home(rootdir: Path, option: str | None, ini: str, inipath: Path | None, start: Path) -> Home:
    named = (
        (DIRECTORY_OPTION, option, start),
        (DIRECTORY_VARIABLE, os.environ.get(DIRECTORY_VARIABLE) or None, start),
        (
            f"{DIRECTORY_INI} in {inipath}" if inipath else DIRECTORY_INI,
            ini or None,
            inipath.parent if inipath else rootdir,
        ),
    )
    for source, text, base in named:
        if text is not None:
            return Home.in_shared_folder(_absolute(source, text, base), rootdir, source)
    return Home.in_project(rootdir)


def _absolute(source: str, text: str, base: Path) -> Path:
    path = os.path.expanduser(os.path.expandvars(text))
    if not path:
        raise pytest.UsageError(f"{source}: name a folder")
    if _UNEXPANDED.match(path):
        # The folder would be created in the checkout, under that literal name.
        raise pytest.UsageError(f"{source}: {text!r} has a variable or a user that is unknown here")
    return Path(os.path.abspath(base / path))


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise pytest.UsageError(f"{self.prog}: {message}")


def _options(where: str, arguments: str | Sequence[object]) -> Namespace:
    """The project options that a setting (a text, or a list of arguments) adds to pytest's command line."""
    parser = _Parser(where, add_help=False, allow_abbrev=False)
    parser.add_argument("--rootdir")
    parser.add_argument("-c", "--config-file", dest="inifile")
    parser.add_argument("-o", "--override-ini", dest="overrides", action="append")
    parser.add_argument(DIRECTORY_OPTION)
    try:
        split = shlex.split(arguments) if isinstance(arguments, str) else [str(each) for each in arguments]
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{where}: {error}") from error
    return parser.parse_known_args(split)[0]
