"""Job specs that no cluster could start cannot be built."""

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
    ("run", "", "there is nothing to run"),
    ("run", " \n", "there is nothing to run"),
    ("run", 3, "a text is needed, not 3"),
    ("run", None, "a text is needed, not None"),
    ("run", ["train", "a b"], "a shell command is one text: \"train 'a b'\""),
    ("run", "a\0b", "no process can be given a NUL character"),
    ("run", "a\ud800", r"'\\ud800' stands for a byte that is no UTF-8, or for half a character"),
    ("setup", b"x", "a text is needed"),
    ("name", "a/b", "is not within"),
    ("nodes", 0, "at least 1, not 0"),
    ("nodes", -1, "at least 1, not -1"),
    ("nodes", True, "a whole number is needed, not True"),
    ("nodes", 1.5, "a whole number is needed, not 1.5"),
    ("nodes", "2", "a whole number is needed, not '2'"),
    ("nodes", 10**30, "at most 100000, not 1000"),
    ("shell", "zsh", "bash or sh, not 'zsh'"),
    ("args", "--steps 3", "a list is needed, such as ['--steps', '3'], not one text"),
    ("args", ["a", 3], "a text is needed, not 3"),
    ("args", ("a\0",), "no process can be given a NUL character"),
    ("env", {"A": "x\0"}, "env.A: no process can be given a NUL character"),
    ("env", {"A": 1}, "env.A: a text is needed, not 1: write '1'"),
    ("env", {"A=B": "x"}, "'A=B' is no name of an environment variable"),
    ("env", {"": "x"}, "'' is no name of an environment variable"),
    ("env", {"A\0": "x"}, "no process can be given a NUL character"),
    ("env", {3: "x"}, "a text is needed, not 3"),
    ("env", {"CLUSTERJOBS_CELL": "x"}, "names that begin with CLUSTERJOBS_ are set by this tool"),
    ("env", ["A=1"], "a mapping of names to texts is needed"),
    ("secrets", ("A=B",), "'A=B' is no name of an environment variable"),
    ("workdir", "", "empty"),
    ("resources", 3, "Resources are needed, not 3"),
    ("resources", {"gpu": 1}, "unknown key 'gpu'; there are gpus, cpus, memory"),
    ("heartbeat_timeout", 0, "more than 0"),
    ("max_runtime", -1.0, "more than 0"),
    ("max_runtime", float("inf"), "at most"),
    ("max_runtime", float("nan"), "more than 0"),
    ("max_runtime", "60", "a duration needs a unit: 60s, 60m or 60h"),
    ("max_runtime", None, "seconds as a number are needed (60.0), or a text with a unit ('60s'), not None"),
    ("queue_timeout", False, "seconds as a number are needed"),
    ("grace_period", -0.1, "at least 0"),
    ("max_restarts", -1, "at least 0"),
    ("options", {"x": object()}, "only texts, numbers, booleans, lists and mappings can stand here"),
    ("options", {"x": [float("nan")]}, "a finite number is needed, not nan"),
]


@pytest.mark.parametrize(("field", "value", "message"), UNFIT)
def test_what_cannot_be_started_cannot_be_built(field: str, value: Any, message: str) -> None:
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


def test_what_python_writes_is_taken() -> None:
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


def test_a_path_that_is_no_utf8_says_so() -> None:
    with pytest.raises(ValueError, match=r"workdir: .* stands for a byte that is no UTF-8"):
        JobSpec("true", workdir=os.fsdecode(b"/x/\xff"))
