"""docs/backends.md: its backend passes the suite, and what it shows runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Harness


class TestExample(BackendConformance):
    @pytest.fixture
    def harness(self, foldercluster: ModuleType, tmp_path: Path) -> Harness:
        shared = tmp_path / "shared"
        shared.mkdir()
        return Harness(
            backend="foldercluster:TYPE", shared=shared, same_host=True, silence="kill -9 $PPID", many=100
        )


def test_the_example_is_strictly_typed(page_files: dict[str, str], tmp_path: Path) -> None:
    example = tmp_path / "foldercluster.py"
    example.write_text(page_files["foldercluster.py"], encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", str(example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_page_s_tests_run_as_they_stand(page_files: dict[str, str], pytester: pytest.Pytester) -> None:
    for name, text in page_files.items():
        pytester.path.joinpath(name).write_text(text, encoding="utf-8")
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-k", "a_day or json or exit_code_is_reported", "-q")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 11


def test_the_page_names_every_field_of_the_harness() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
    assert [name for name in Harness.__slots__ if f"`{name}`" not in page] == []
