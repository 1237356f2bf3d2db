"""The page on AWS Batch is complete and its examples are valid."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from pytest_clusterjobs.backends.aws_batch import status_reasons
from pytest_clusterjobs.backends.aws_batch import TYPE
from pytest_clusterjobs.backends.aws_batch.options import OPTIONS
from pytest_clusterjobs.backends.aws_batch.settings import AwsBatchSettings
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "aws_batch.md").read_text()
SOURCES = sorted((ROOT / "pytest_clusterjobs" / "backends" / "aws_batch").glob("*.py"))


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_every_setting_and_option_is_documented() -> None:
    missing = [name for name in [*AwsBatchSettings.keys(), *OPTIONS] if f"`{name}`" not in PAGE]
    assert missing == []


def test_the_settings_of_the_page_are_valid() -> None:
    raw = tomllib.loads(block("toml"))["tool"]["clusterjobs"]["backends"]["aws"]
    assert raw.pop("type") == "aws-batch"
    settings = TYPE.validate(raw)
    assert isinstance(settings, AwsBatchSettings)
    assert settings.queue == "training"


def test_the_matrix_of_the_page_is_valid(tmp_path: Path) -> None:
    site = Site(backends=tomllib.loads(block("toml"))["tool"]["clusterjobs"]["backends"])
    path = tmp_path / "m.yaml"
    path.write_text(f"backend: aws\n{block('yaml')}nodes: [1]\nconditions: {{normal: {{}}}}\n")
    [cell] = load_matrix(path, rootdir=tmp_path, site=site).cells
    assert cell.spec.options["schedulingPriorityOverride"] == 100


def test_the_documented_rights_are_those_of_the_calls() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    operations = set(re.findall(r'"((?:describe|list|submit|terminate|register|get)_[a-z_]+)"', text))
    # TerminateJobs needs the right to TerminateJob.
    operations.discard("terminate_jobs")
    named = {"".join(word.title() for word in operation.split("_")) for operation in operations}
    actions = {
        action.split(":")[1] for each in json.loads(block("json"))["Statement"] for action in each["Action"]
    }
    assert named - {"RegisterJobDefinition"} == actions - {"TagResource"}
    assert "batch:RegisterJobDefinition" in PAGE


def test_every_text_with_a_reason_is_documented() -> None:
    assert [
        row.text
        for row in status_reasons.CATALOGUE
        if row.reason and row.text.rstrip(":") not in PAGE and row.text[:20] not in PAGE
    ] == []
