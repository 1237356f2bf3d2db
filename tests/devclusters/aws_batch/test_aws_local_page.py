"""The examples of docs/aws_local.md run, and its tables are complete."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.devclusters.aws_batch.model import Rules

PAGE = (Path(__file__).parents[3] / "docs" / "aws_local.md").read_text(encoding="utf-8")


def test_the_examples_run(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    pytester.makepyfile(**dict(blocks))
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_every_rule_of_queues_is_documented() -> None:
    for each in fields(Rules):
        assert re.search(rf"\b{each.name}\b", PAGE), each.name


def test_every_call_is_documented() -> None:
    calls = [name for name, what in vars(BatchClient).items() if callable(what) and not name.startswith("_")]
    assert len(calls) > 6
    for name in (*calls, "at"):
        assert re.search(rf"\b{name}\(", PAGE) or name == "access_key", name
