"""The page on SkyPilot is complete and its examples are valid."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.backends.skypilot.options import OPTIONS
from pytest_clusterjobs.backends.skypilot.settings import SkyPilotSettings
from pytest_clusterjobs.backends.skypilot.states import PHASES
from pytest_clusterjobs.matrix import load_matrix

PAGE = (Path(__file__).parents[3] / "docs" / "skypilot.md").read_text()
GONE = {"SUBMITTED"}
"""A state that managed jobs no longer have."""


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_every_setting_option_and_state_is_documented() -> None:
    assert [name for name in [*SkyPilotSettings.keys(), *OPTIONS] if f"`{name}`" not in PAGE] == []
    assert [name for name in PHASES if name not in PAGE and name not in GONE] == []


def test_the_settings_of_the_page_are_valid() -> None:
    for text in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for raw in tomllib.loads(text)["tool"]["clusterjobs"]["backends"].values():
            assert raw.pop("type") == "skypilot"
            settings = TYPE.validate(raw)
            assert isinstance(settings, SkyPilotSettings)
            assert settings.task["resources"]["infra"] == "aws/us-east-1"


def test_the_matrix_of_the_page_is_valid(tmp_path: Path) -> None:
    site = Site(backends=tomllib.loads(block("toml"))["tool"]["clusterjobs"]["backends"])
    path = tmp_path / "m.yaml"
    path.write_text(f"backend: sky\n{block('yaml')}nodes: [1]\nconditions: {{normal: {{}}}}\n")
    [cell] = load_matrix(path, rootdir=tmp_path, site=site).cells
    assert cell.spec.options["resources"] == {"accelerators": "H100", "infra": "k8s"}
