"""docs/backends.md: its backend passes the suite, and what it shows runs."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_clusterjobs.backends import BackendType
from pytest_clusterjobs.backends.registry import InvalidSettings
from pytest_clusterjobs.backends.registry import read_site
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import NoopBackend


class TestExample(BackendConformance):
    @pytest.fixture
    def harness(self, foldercluster: ModuleType, tmp_path: Path) -> Harness:
        shared = tmp_path / "shared"
        shared.mkdir()
        return Harness(
            backend="foldercluster:TYPE", shared=shared, same_host=True, silence="kill -9 $PPID", many=100
        )


@pytest.mark.parametrize("name", ["foldercluster.py", "spoolbackend.py"])
def test_an_example_is_strictly_typed(page_files: dict[str, str], tmp_path: Path, name: str) -> None:
    example = tmp_path / name
    example.write_text(page_files[name], encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", str(example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_page_s_tests_run_as_they_stand(page_files: dict[str, str], pytester: pytest.Pytester) -> None:
    for name, text in page_files.items():
        pytester.path.joinpath(name).write_text(text, encoding="utf-8")
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-k", "absent_for_a_minute or json or exit_code_is_reported", "-q")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 11


def test_the_page_names_every_field_of_the_harness() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
    assert [name for name in Harness.__slots__ if f"`{name}`" not in page] == []


def test_the_page_s_message_is_that_of_its_settings(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
    (text,) = re.findall(
        r"^```python\n((?:(?!```).)*class NiceSettings.*?)^```", page, re.MULTILINE | re.DOTALL
    )
    scope: dict[str, Any] = {}
    exec(compile(text, "backends.md", "exec", dont_inherit=True), scope)
    kind = BackendType("nice", lambda context: NoopBackend(), scope["NiceSettings"])
    table = (
        '# The table is further down.\n\n\n\n[tool.clusterjobs.backends.mine]\ntype = "nice"\nniceness = 20\n'
    )
    (tmp_path / "pyproject.toml").write_text(table)
    site = replace(read_site(tmp_path), types={"nice": kind})
    with pytest.raises(InvalidSettings) as caught:
        site.settings("mine")
    assert f"`{caught.value}`" in page
