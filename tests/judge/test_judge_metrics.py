"""Metrics: the last occurrence of the name decides, and a part of a number never counts."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies

from pytest_clusterjobs.judge import judge
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import MetricExpectation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict

COMPLETED = Outcome("job_completed", ReasonClass.PRODUCT, Source.SENTINEL, exit_code=0)
GROUPS = [r"([0-9.]+)", r"(\d+)", r"([0-9]+\.?[0-9]*)", r"([\d.]+)", r"(-?[0-9.]+)"]
"""A typical pattern without {number}."""


def read(pattern: str, *logs: str, pick: Any = "last", **bounds: float) -> float | str:
    """The number, or the message of a metric that is not met."""
    metric = MetricExpectation(pattern, pick, **bounds)  # type: ignore[arg-type]
    chunks = [LogChunk(log, complete=True) for log in logs]
    judgement = judge(
        Expectation(metrics={"m": metric}), COMPLETED, log=lambda rank: chunks[rank], nodes=len(logs)
    )
    assert judgement.verdict is (Verdict.FAILED if judgement.misses else Verdict.PASSED)
    return judgement.misses[0].seen if judgement.misses else judgement.metrics["m"]


@pytest.mark.parametrize("pattern", ["loss={number}", *(f"loss={group}" for group in GROUPS)])
@pytest.mark.parametrize(
    "last",
    ["loss=nan", "loss=NaN step=3", "loss=inf", "loss=-inf", "loss=None", "loss=diverged", "loss=--", "loss=", "loss= \t",
     "loss=~2", "loss=٣", "loss=\N{MINUS SIGN}2", "val loss=nan, x", "\x1b[31mloss=\x1b[1mnan\x1b[0m", "loss=\r2", "loss=\n2"],
)  # fmt: skip
def test_an_older_line_does_not_count_if_the_last_one_has_no_number(pattern: str, last: str) -> None:
    assert isinstance(read(pattern, f"loss=3\n{last}\n"), str)
    assert read(pattern, f"{last}\nloss=3\n") == 3.0


@pytest.mark.parametrize("pattern", ["sps={number}", *(f"sps={group}" for group in GROUPS)])
@pytest.mark.parametrize(
    "text",
    ["1,234", "1_000", "0x1F", "1.5.2", "12abc", "1e", "5%", "3GB", "1e5x", "1/2", "12:34", "1.5±0.1", "2-5", "1'234", "3k",
     "1\N{NO-BREAK SPACE}234", "1\N{THIN SPACE}234", "1\N{FULLWIDTH DIGIT TWO}", "1\N{ARABIC-INDIC DIGIT THREE}", "1e+", "1..", "7*", "1,5"],
)  # fmt: skip
def test_a_number_is_taken_whole_or_quoted(pattern: str, text: str) -> None:
    seen = read(pattern, f"sps=1\nsps={text}\n")
    assert isinstance(seen, str)
    assert text in seen


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e20", 1e20), ("-3", -3.0), ("+2", 2.0), (".5", 0.5), ("7.", 7.0), ("1E-9", 1e-9), ("0.25,", 0.25), ("4)", 4.0),
     ("4]", 4.0), ("4}", 4.0), ("4;", 4.0), ("4|", 4.0), ('4"', 4.0), ("4'", 4.0), ("4. Next", 4.0), ("4, x", 4.0),
     ("4,acc=3", 4.0), ("4: fine", 4.0), ("4!", 4.0), ("4(3)", 4.0), ("\x1b[1m4\x1b[0m", 4.0), ("4\r", 4.0), ("4\r\n", 4.0),
     ("4\N{NO-BREAK SPACE}it/s", 4.0), ("4</td>", 4.0)],
)  # fmt: skip
def test_the_number_placeholder_matches_the_text_in_its_place(text: str, value: float) -> None:
    assert read("sps={number}", f"sps=1\nsps={text}\n") == value
    assert read(r"(?i)SPS\s*=\s*{number}", f"sps=1\nsps = {text}\n") == value


@pytest.mark.parametrize(
    ("pattern", "log", "seen"),
    [
        ("loss=([0-9.]+)", "loss=1e20", '"1" is only part of "1e20"; write {number} in place of the number'),
        ("loss=([0-9.]+).*", "loss=1e20", '"1" is only part of "1e20"; write {number} in place of the number'),
        ("loss=(-?[0-9.]+)(?:e.*)?", "loss=1e20", '"1" is only part of "1e20"; write {number} in place of the number'),
        ("loss=-?([0-9.]+)", "loss=-3", '"3" is only part of "-3"; write {number} in place of the number'),
        ("loss.*([0-9.]+)", "loss = 12.5", '"5" is only part of "12.5"; write {number} in place of the number'),
        ("loss.*{number}", "loss = 12.5", '"5" is only part of "12.5"; let the pattern match what precedes it'),
        ("loss[^0-9]*([0-9.]+)", "loss=nan step=3", '"nan" precedes "3"'),
        ("loss={number}", "loss=3GB", '"3GB" is not a number; if "GB" is its unit, write {number}GB'),
        ("loss={number}", "loss=5%", '"5%" is not a number; if "%" is its unit, write {number}%'),
        ("loss={number}", "loss=1e", '"1e" is not a number'),
        ("loss={number}", "loss=1,234", '"1,234" is not a number'),
        ("loss={number}", "loss=", '"loss=" is followed by nothing, where the pattern does not match'),
        ("loss=([0-9.]+)", "loss=nan", '"loss=" is followed by "nan", where the pattern does not match; write {number} in place of the number'),
        ("(train|val) loss=([0-9.]+)", "val loss=2", '"val" is not a number; of several groups the first is the number: write {number} in its place'),
        ("loss=({number})", "loss=2", "the number is in another group or beside a `|`: write it outside, as in '(?:train|val) loss={number}'"),
        ("loss=(", "loss=2", "not a valid regular expression: missing ), unterminated subpattern at position 5"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_quoted_with_the_fix(pattern: str, log: str, seen: str) -> None:
    assert read(pattern, log) == seen


@pytest.mark.parametrize(
    ("pattern", "log", "seen"),
    [
        ("latency={number}ms", "latency=5ms\n", 5.0),
        ("latency=([0-9.]+)ms", "latency=5ms\n", 5.0),
        ("latency=([0-9.]+) ?ms", "latency=5ms\n", 5.0),
        ("latency={number}(?:ms|s)", "latency=12ms\n", 12.0),
        ("latency=([0-9.]+)(?:ms|s)", "latency=12ms\n", 12.0),
        ("latency={number}ms", "latency=5ms\nlatency=3s\n", None),
        ("latency={number}ms", "latency=5ms\nlatency=nan\n", None),
        ("latency={number} ms", "latency=5 ms\nlatency=5 s\n", None),
        ("latency={number}ms", "latency=5msec\n", None),
        ("acc={number}%", "acc=5%\n", 5.0),
        ("acc=([0-9.]+)%?", "acc=5%\n", None),
        ("step ([0-9]+)/[0-9]+", "step 30/100\n", 30.0),
        ("step {number}/", "step 30/100\n", 30.0),
    ],
)  # fmt: skip
def test_a_unit_in_the_pattern_is_not_part_of_the_number(pattern: str, log: str, seen: float | None) -> None:
    value = read(pattern, log)
    assert value == seen if seen is not None else isinstance(value, str)


@pytest.mark.parametrize(
    ("pattern", "log", "seen"),
    [
        pytest.param("step=30 loss={number}", "step=30 loss=2\nstep=31 loss=nan\n", 2.0, id="the name is exact"),
        pytest.param("(?<!val_)loss={number}", "loss=2\nval_loss=nan\n", 2.0, id="a look behind"),
        pytest.param("(?<=loss=)([0-9.]+)", "loss=2\nloss=nan\n", None, id="a name that is looked behind at"),
        pytest.param(r"loss=(?=\S+ final){number}", "loss=2 final\nloss=3 (mean)\n", 2.0, id="a look ahead"),
        pytest.param("loss={number} final", "loss=2 final\nloss=3 (mean)\n", None, id="a name decides alone"),
        pytest.param(r"lr=[0-9.]+ loss=([0-9.]+)", "lr=0.1 loss=2\nlr=1e-05 loss=9\n", None, id="another number in the name"),
        pytest.param(r"step=\d+ loss={number}", "step=1 loss=2\nstep=nan loss=3\n", None, id="another nan in the name"),
        pytest.param(r"^\d+ loss={number}", "1 loss=2\nval loss=nan\n", 2.0, id="another word in the name"),
        pytest.param(r"loss=([0-9.]+) acc=[0-9.]+", "loss=2 acc=3\nloss=9 acc=nan\n", None, id="another nan behind"),
        pytest.param("took {number} s for eval", "took 2 s for eval\ntook 9 s for train\n", 2.0, id="prose"),
        pytest.param("took {number} s for eval", "took 2 s for eval\ntook nan s for eval\n", None, id="prose, nan"),
        pytest.param("took {number} s for eval", "took 2 s for eval\ntook nan\n", None, id="prose that ends in nan"),
        pytest.param("took ([0-9.]+) s for eval", "took 2 s for eval\ntook 1e9 s for eval\n", None, id="prose, more digits"),
        pytest.param("([0-9.]+) it/s", "2 it/s\nnan it/s\n", None, id="a name behind"),
        pytest.param("([0-9.]+) it/s", "2 it/s\n1,234 it/s\n", None, id="a name behind, grouped digits"),
        pytest.param("{number} it/s", "2 it/s\nspeed of 3 it/s\n", 3.0, id="a name behind, within a line"),
        pytest.param("^([0-9.]+)$", "2\ndone\n", 2.0, id="no name"),
        pytest.param("^([0-9.]+)$", "2\nnan\n", None, id="no name, nan"),
        pytest.param("^{number}$", "2\n1e3\n", 1000.0, id="no name, {number}"),
        pytest.param(".*loss=([0-9.]+)", "loss=2 loss=nan\n", None, id="two on a line"),
        pytest.param("loss=([0-9.]+)", "loss=nan loss=2\n", 2.0, id="two on a line, the other way round"),
        pytest.param('"loss": {number}', '{"loss": 2, "sps": 3}\n', 2.0, id="JSON"),
        pytest.param('"loss":{number}', '{"loss":2,"sps":3}\n', 2.0, id="JSON without blanks"),
        pytest.param('"loss":{number}', '{"loss":2}\n{"loss":null}\n', None, id="JSON null"),
        pytest.param("^[^,]*,([^,]*),", "1,0.5,1500\n", 0.5, id="CSV"),
        pytest.param("^[0-9]+,{number},", "1,0.5,1500\n2,nan,1600\n", None, id="CSV, nan"),
        pytest.param("loss (?:now|then): {number}", "loss now: 2\nloss then: x\n", None, id="alternatives in a name"),
        pytest.param(r"(step|epoch)=\d+ loss={number}", "epoch=3 loss=2\n", 2.0, id="a group in a name"),
        pytest.param("loss={number}", "loss = 2\n", "not in the log", id="another name"),
    ],
)  # fmt: skip
def test_an_occurrence_of_the_name_without_a_number_counts(
    pattern: str, log: str, seen: float | str | None
) -> None:
    value = read(pattern, log)
    assert value == seen if seen is not None else isinstance(value, str)


@pytest.mark.parametrize(
    "pattern",
    [r"loss=\s*([0-9.]+)", r"loss=[^#]*?([0-9.]+)", r"loss=(?s:.*?){number}", r"loss={number}\s*acc"],
)
def test_a_pattern_does_not_match_across_lines(pattern: str) -> None:
    assert isinstance(read(pattern, "loss=\n2\nacc\n"), str)
    assert isinstance(read(pattern, "loss=\r2\racc\n"), str)


@pytest.mark.parametrize("pattern", ["m={number}", "m=([0-9.]+)", r"m=(\S+)"])
@pytest.mark.parametrize("bad", ["nan", "1,234", "", "x"])
def test_every_occurrence_must_be_a_number_if_all_of_them_count(pattern: str, bad: str) -> None:
    log = f"m=4\nm={bad}\nm=2\n"
    for pick in ("min", "max", "mean", "median"):
        assert isinstance(read(pattern, log, pick=pick), str)
    assert (read(pattern, log, pick="first"), read(pattern, log, pick="last")) == (4.0, 2.0)
    assert isinstance(read(pattern, f"m={bad}\nm=2\n", pick="first"), str)


def test_each_rank_has_a_last_number_and_all_of_them_count() -> None:
    assert read("m={number}", "m=1\nm=2\n", "silent\n", "m=3\n") == 3.0
    assert read("m={number}", "m=nan\n", "m=2\n") == '"nan" is not finite (rank 0)'
    assert read("m=([0-9]+)", "m=1\nm=nan\n", "m=2\n").endswith("(rank 0)")  # type: ignore[union-attr]
    assert read("m={number}", "m=9\n", "m=2\n", max=5.0) == "9"
    assert read("m={number}", "m=2\n", "m=9\n", max=5.0) == "9"
    assert read("m={number}", "m=9\nm=2\n", "m=3\nm=9\n", pick="first", max=5.0) == "9"
    assert read("m={number}", "m=2\n", "m=9\n", pick="first") == 2.0
    assert read("m={number}", "m=1\n", "m=nan\n", pick="max") == '"nan" is not finite (rank 1)'


TOKENS = strategies.text("0123456789.,eE+-_xXnaif%/:'", min_size=1, max_size=8)


@given(
    TOKENS,
    strategies.sampled_from(
        ["m={number}", r"m=(\S+)", "m=-?([0-9.]+)", r"m=\s*([0-9.]+)", *(f"m={group}" for group in GROUPS)]
    ),
)
def test_a_part_of_a_token_or_an_older_line_is_never_the_number(token: str, pattern: str) -> None:
    value = read(pattern, f"m=77777\nm={token}\n")
    if not isinstance(value, str):
        whole = re.split(r",(?![0-9+._-])|'(?![0-9])|[.:](?=')", token)[0].rstrip(":,").removesuffix(".")
        assert value == float(whole)


@pytest.mark.parametrize(
    "pattern", ["sps={number}", "sps=([0-9.]+)", "{number} it/s", r"^{number}$", r"step=\d+ sps=([0-9.]+)"]
)
@pytest.mark.parametrize(
    "log",
    ["sps=1 it/s " * 30_000, "sps=1/" * 50_000, "x" * 300_000, "7" * 100_000 + " it/s", "sps=1\n" * 50_000 + "x" * 300_000, f"step={'1' * 60}x\n" * 100],
    ids=["words", "one token", "a blob", "digits", "lines", "steps"],
)  # fmt: skip
def test_long_logs_and_long_lines_cost_no_more_than_their_length(pattern: str, log: str) -> None:
    began = time.process_time()
    read(pattern, log)
    read(pattern, log, pick="max")
    assert time.process_time() - began < 10, "quadratic would be minutes"
