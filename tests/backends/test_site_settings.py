"""Site settings: a model for each type, validated once, with all faults of a table and their lines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from textwrap import dedent
from traceback import format_exception
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Self

import pytest
from pydantic import Field
from pydantic import field_validator
from pydantic import model_validator
from pydantic import SecretStr
from pydantic import ValidationError

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.registry import InvalidSettings
from pytest_clusterjobs.backends.registry import read_site
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.backends.registry import SiteError
from pytest_clusterjobs.backends.registry import UnknownBackend
from pytest_clusterjobs.backends.settings import FaultySettings
from pytest_clusterjobs.backends.settings import MustBe
from pytest_clusterjobs.backends.settings import SiteSettings
from pytest_clusterjobs.testing import NOOP
from pytest_clusterjobs.testing import NoopBackend


class Size(StrEnum):
    SMALL = "small"
    BIG = "big"


class Pool(SiteSettings):
    name: Annotated[str, MustBe("the name of a pool")]
    nodes: Annotated[int, Field(ge=1, le=9)] = 1


class Farm(SiteSettings):
    url: str
    pause: Annotated[float, Field(ge=0, le=60), MustBe("0 to 60 seconds")] = 1.0
    mode: Literal["fast", "slow"] = "fast"
    size: Size = Size.SMALL
    folder: Path | None = None
    pool: Pool | None = None
    pools: Sequence[Pool] = ()
    ports: Sequence[int] = ()
    either: int | list[str] = 3
    tags: Mapping[str, str] = {}
    password: Annotated[SecretStr | None, MustBe("text", is_secret=True)] = None
    stop: bool = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not url.startswith("https:"):
            raise ValueError("must begin with https:")
        return url

    @model_validator(mode="after")
    def _check_pause(self) -> Self:
        if self.mode == "fast" and self.pause > 30:
            raise ValueError("mode = 'fast' needs a pause of 30 seconds or less")
        return self


FARM = BackendType("farm", lambda context: NoopBackend(), Farm)
URL = {"url": "https://farm"}


def faults(**table: Any) -> list[str]:
    with pytest.raises(FaultySettings) as caught:
        FARM.validate({**URL, **table})
    return [each.message for each in caught.value.faults]


def test_a_table_becomes_an_instance_of_the_model() -> None:
    settings = FARM.validate({**URL, "folder": "/shared", "size": "big", "pool": {"name": "p"}, "pause": 3})
    assert settings == Farm(
        url="https://farm", folder=Path("/shared"), size=Size.BIG, pool=Pool(name="p"), pause=3.0
    )
    with pytest.raises(ValidationError, match="frozen"):
        settings.url = "x"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"url": 3}, "url must be text, not 3"),
        ({"url": "ftp:"}, "url must begin with https:"),
        ({"pause": "5"}, "pause must be 0 to 60 seconds, not '5'"),
        ({"pause": True}, "pause must be 0 to 60 seconds, not True"),
        ({"pause": float("nan")}, "pause must be 0 to 60 seconds, not nan"),
        ({"pause": 61}, "pause must be 0 to 60 seconds, not 61"),
        ({"pause": 31}, "mode = 'fast' needs a pause of 30 seconds or less"),
        ({"mode": "slwo"}, "mode must be 'fast' or 'slow', not 'slwo'"),
        ({"size": "tiny"}, "size must be 'small' or 'big', not 'tiny'"),
        ({"stop": "yes"}, "stop must be true or false, not 'yes'"),
        ({"pool": 3}, "pool must be a table, not 3"),
        ({"pool": {}}, "pool.name is not set: it must be the name of a pool"),
        ({"pool": {"name": "p", "nodes": 10}}, "pool.nodes must be at most 9, not 10"),
        ({"pool": {"name": "p", "node": 1}}, "unknown setting 'pool.node', did you mean 'nodes'?"),
        ({"pools": [{"name": "p"}, {"name": 3}]}, "pools.1.name must be the name of a pool, not 3"),
        ({"pools": 3}, "pools must be a list, not 3"),
        ({"ports": [1, 2.5]}, "ports.1 must be a whole number, not 2.5"),
        ({"tags": {"a": 1}}, "tags.a must be text, not 1"),
        ({"urll": 3}, "unknown setting 'urll', did you mean 'url'?"),
        ({"url": "x" * 1000}, "url must begin with https:"),
        ({"mode": "x" * 1000}, f"mode must be 'fast' or 'slow', not '{'x' * 59}..."),
        ({"mode": "\x1b[31m"}, r"mode must be 'fast' or 'slow', not '\x1b[31m'"),
    ],
)  # fmt: skip
def test_a_fault_says_what_to_write(table: Mapping[str, Any], message: str) -> None:
    assert faults(**table) == [message]


def test_an_unknown_setting_lists_the_known_ones_if_none_is_close() -> None:
    (found,) = faults(zzzzzz=1)
    assert found.startswith("unknown setting 'zzzzzz'; there are either, folder, mode, ")


def test_all_faults_of_a_table_are_reported_together() -> None:
    assert sorted(faults(pause="x", urll=1, pool={"nodes": 0})) == [
        "pause must be 0 to 60 seconds, not 'x'",
        "pool.name is not set: it must be the name of a pool",
        "pool.nodes must be at least 1, not 0",
        "unknown setting 'urll', did you mean 'url'?",
    ]


def test_a_secret_is_never_shown() -> None:
    secret = "hunter" + "2"
    with pytest.raises(FaultySettings) as caught:
        FARM.validate({**URL, "password": [secret], "pause": "x"})
    assert "password must be text" in str(caught.value).splitlines()
    assert secret not in "".join(format_exception(caught.value))


def test_values_from_python_are_those_of_a_table() -> None:
    settings = FARM.validate({**URL, "folder": Path("/shared"), "pools": (Pool(name="p").model_dump(),)})
    assert settings == Farm(url="https://farm", folder=Path("/shared"), pools=[Pool(name="p")])
    assert faults(url="https://\ud800") == ["there is text that is not valid Unicode"]
    with pytest.raises(FaultySettings, match="unknown setting '1'"):
        FARM.validate({**URL, 1: 2})  # type: ignore[dict-item]


def test_a_bug_in_a_model_is_a_fault() -> None:
    class Buggy(SiteSettings):
        x: int = 1

        @field_validator("x")
        @classmethod
        def _check(cls, value: int) -> int:
            raise KeyError("no such key")

    with pytest.raises(FaultySettings, match="the check of the settings fails with KeyError: 'no such key'"):
        BackendType("buggy", lambda context: NoopBackend(), Buggy).validate({"x": 1})


def test_a_type_without_settings_has_no_keys() -> None:
    assert NOOP.validate({}) == SiteSettings()
    with pytest.raises(FaultySettings, match=r"^unknown setting 'slots': there are none$"):
        NOOP.validate({"slots": 3})


def test_keys_instead_of_a_model_are_rejected() -> None:
    kind = BackendType("old", lambda context: NoopBackend(), frozenset({"a"}))  # type: ignore[arg-type]
    with pytest.raises(
        FaultySettings, match=r"settings of the BackendType must be a subclass of .*SiteSettings"
    ):
        kind.validate({})


# In a project.


def project(folder: Path, text: str) -> Site:
    (folder / "pyproject.toml").write_text(dedent(text).lstrip())
    found = read_site(folder)
    return Site(found.backends, found.source, {"farm": FARM, "noop": NOOP}, found.text)


def test_each_fault_has_its_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    site = project(
        tmp_path,
        """
        [tool.clusterjobs.backends.mine]
        type = "farm"
        pause = "x"
        urll = 1
        pool = { nodes = 0 }
        tags."a b" = 1
        [[tool.clusterjobs.backends.mine.pools]]
        name = "p"
        [[tool.clusterjobs.backends.mine.pools]]
        name = 3
        """,
    )
    with pytest.raises(InvalidSettings) as caught:
        site.settings("mine")
    where = "[tool.clusterjobs.backends.mine]"
    assert str(caught.value).splitlines() == [
        f"pyproject.toml:1: {where}: url is not set",
        f"pyproject.toml:3: {where}: pause must be 0 to 60 seconds, not 'x'",
        f"pyproject.toml:4: {where}: unknown setting 'urll', did you mean 'url'?",
        f"pyproject.toml:5: {where}: pool.name is not set: it must be the name of a pool",
        f"pyproject.toml:5: {where}: pool.nodes must be at least 1, not 0",
        f"pyproject.toml:6: {where}: tags.a b must be text, not 1",
        f"pyproject.toml:10: {where}: pools.1.name must be the name of a pool, not 3",
    ]
    assert caught.value.faults == tuple(str(caught.value).splitlines())


def test_faults_without_a_line_name_the_table(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Site({"mine": {"type": "farm"}}, "the ledger", {"farm": FARM}).settings("mine")
    assert str(caught.value) == "the ledger: [tool.clusterjobs.backends.mine]: url is not set"
    # No table at all.
    with pytest.raises(
        InvalidSettings, match=r"^pyproject.toml: \[tool.clusterjobs.backends.farm\]: url is not"
    ):
        project(tmp_path, "").settings("farm")


def test_control_characters_cannot_reach_a_terminal() -> None:
    site = Site({"\x1b[31m": {"type": "farm", "\x1b\n": 1, "mode": "\x1b"}}, types={"farm": FARM})
    with pytest.raises(InvalidSettings) as caught:
        site.settings("\x1b[31m")
    assert len(caught.value.faults) == 3
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_settings_are_validated_once_and_only_on_use(tmp_path: Path) -> None:
    calls = []

    class Counted(SiteSettings):
        x: int = 1

        @model_validator(mode="after")
        def _count(self) -> Self:
            calls.append(self.x)
            return self

    kind = BackendType("counted", lambda context: NoopBackend(), Counted)
    tables = {"a": {"type": "counted"}, "b": {"type": "counted", "x": "bad"}, "c": {"type": "not_installed"}}
    site = Site(tables, types={"counted": kind})
    assert "c" in site.names and calls == []
    assert site.settings("a") is site.settings("a")
    site.open("a", run_id="r", run_dir=tmp_path, rootdir=tmp_path)
    assert calls == [1]
    with pytest.raises(UnknownBackend, match=r"type must be one of .*, not 'not_installed'"):
        site.settings("c")


def test_a_backend_and_its_check_get_the_model(tmp_path: Path) -> None:
    seen: list[BackendContext] = []

    def open_farm(context: BackendContext) -> NoopBackend:
        seen.append(context)
        return NoopBackend()

    site = Site({"mine": {"type": "farm", **URL}}, types={"farm": BackendType("farm", open_farm, Farm)})
    site.open("mine", run_id="r", run_dir=tmp_path, rootdir=tmp_path)
    assert seen[0].settings == Farm(url="https://farm")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "[tool.clusterjobs]\nbackend = 1\nrunner = 2\n",
            [
                ":2: [tool.clusterjobs]: unknown key 'backend', there is only 'backends'",
                ":3: [tool.clusterjobs]: unknown key 'runner', there is only 'backends'",
            ],
        ),
        (
            "[tool.clusterjobs.backends]\na = {}\nb = 3\n",
            [
                ":3: [tool.clusterjobs.backends]: 'b' must be a table: each backend is a table of its settings",
            ],
        ),
        ("[tool]\nclusterjobs = 3\n", [":2: [tool.clusterjobs] must be a table"]),
        (
            "[tool.clusterjobs]\nbackends = 3\n",
            [":2: [tool.clusterjobs.backends]: each backend is a table of its settings"],
        ),
    ],
)
def test_faults_of_the_tables_above(tmp_path: Path, text: str, messages: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SiteError) as caught:
        read_site(tmp_path)
    assert str(caught.value).splitlines() == [f"{tmp_path / 'pyproject.toml'}{each}" for each in messages]


@pytest.mark.parametrize(
    ("module", "late"),
    [
        ("pytest_clusterjobs.backends.registry", {"pydantic"}),
        ("pytest_clusterjobs.backends.local.runner", {"pydantic"}),
        ("pytest_clusterjobs.backends.slurm", {"pytest_clusterjobs.backends.slurm.client"}),
        ("pytest_clusterjobs.backends.aws_batch", {"boto3", "botocore"}),
        ("pytest_clusterjobs.backends.skypilot", {"sky", "pytest_clusterjobs.backends.skypilot.sdk"}),
    ],
)
def test_what_importing_a_module_leaves_for_later(module: str, late: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not late & set(done.stdout.split())
