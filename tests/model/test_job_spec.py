"""A job spec rejects values that no cluster can use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs import JobSpec
from pytest_clusterjobs.ledger.codec import dump
from pytest_clusterjobs.ledger.codec import load
from pytest_clusterjobs.model import Resources

UNFIT: list[tuple[str, Any, str]] = [
    ("run", "", "the command is empty"),
    ("run", " \n", "the command is empty"),
    ("run", 3, "expected a text, not 3"),
    ("run", None, "expected a text, not None"),
    ("run", ["train", "a b"], "a shell command is one text: \"train 'a b'\""),
    ("run", "a\0b", "a process cannot be given a NUL character"),
    ("run", "a\ud800", r"'\\ud800' is half a character, or a byte that is not UTF-8"),
    ("setup", b"x", "expected a text"),
    ("name", "a/b", "has characters other than letters, digits and . _ + -"),
    ("nodes", 0, "at least 1, not 0"),
    ("nodes", -1, "at least 1, not -1"),
    ("nodes", True, "expected a whole number, not True"),
    ("nodes", 1.5, "expected a whole number, not 1.5"),
    ("nodes", "2", "expected a whole number, not '2'"),
    ("nodes", 10**30, "at most 100000, not 1000"),
    ("shell", "zsh", "bash or sh, not 'zsh'"),
    ("args", "--steps 3", "expected a list, such as ['--steps', '3'], not one text"),
    ("args", ["a", 3], "expected a text, not 3"),
    ("args", ("a\0",), "a process cannot be given a NUL character"),
    ("env", {"A": "x\0"}, "env.A: a process cannot be given a NUL character"),
    ("env", {"A": 1}, "env.A: expected a text, not 1: write '1'"),
    ("env", {"A=B": "x"}, "'A=B' is not a valid name of an environment variable"),
    ("env", {"": "x"}, "'' is not a valid name of an environment variable"),
    ("env", {"A\0": "x"}, "a process cannot be given a NUL character"),
    ("env", {3: "x"}, "expected a text, not 3"),
    ("env", {"CLUSTERJOBS_CELL": "x"}, "names that begin with CLUSTERJOBS_ are reserved"),
    ("env", ["A=1"], "expected a mapping of names to texts"),
    ("secrets", ("A=B",), "'A=B' is not a valid name of an environment variable"),
    ("workdir", "", "empty"),
    ("resources", 3, "expected Resources, not 3"),
    ("resources", {"gpu": 1}, "unknown key 'gpu'; there are gpus, cpus, memory"),
    ("heartbeat_timeout", 0, "more than 0"),
    ("max_runtime", -1.0, "more than 0"),
    ("max_runtime", float("inf"), "at most"),
    ("max_runtime", float("nan"), "more than 0"),
    ("max_runtime", "60", "a duration needs a unit: 60s, 60m or 60h"),
    ("max_runtime", None, "expected seconds as a number (60.0), or a text with a unit ('60s'), not None"),
    ("queue_timeout", False, "expected seconds as a number"),
    ("grace_period", -0.1, "at least 0"),
    ("max_restarts", -1, "at least 0"),
    ("options", {"x": object()}, "only texts, numbers, booleans, lists and mappings are allowed here"),
    ("options", {"x": [float("nan")]}, "expected a finite number, not nan"),
]


@pytest.mark.parametrize(("field", "value", "message"), UNFIT)
def test_a_spec_that_cannot_be_started_is_rejected(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        JobSpec(**{"run": "true", field: value})
    text = str(caught.value)
    assert text.startswith(f"job spec: {field}") and message.replace("\\\\", "\\") in text
    assert "\n" not in text


def test_a_wrong_type_is_a_type_error_too() -> None:
    with pytest.raises(TypeError):
        JobSpec("true", nodes="2")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"), [("gpus", -1, "at least 0"), ("memory", "64", "a size needs a unit")]
)
def test_resources_are_checked_too(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"job spec: resources\.{field}: {message}"):
        Resources(**{field: value})


def test_values_of_python_types_are_accepted() -> None:
    spec: Any = JobSpec
    made = spec(
        "true",
        args=["a", "ü"],
        env={"A": "日本"},
        secrets="TOKEN",
        workdir=Path("/x/y"),
        resources={"memory": "1GiB"},
        max_runtime="1h30m",
        heartbeat_timeout=2,
        options={"a": {80: [1, None, True, 1.5]}},
    )
    assert (made.args, made.secrets, made.workdir) == (("a", "ü"), ("TOKEN",), "/x/y")
    assert (made.resources, made.max_runtime) == (Resources(memory=2**30), 5400.0)
    assert load(JobSpec, dump(made)).max_runtime == 5400.0


def test_a_path_that_is_not_utf8_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"workdir: .* is half a character, or a byte that is not UTF-8"):
        JobSpec("true", workdir=os.fsdecode(b"/x/\xff"))
