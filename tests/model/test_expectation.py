"""An Expectation has the defaults of ``expect`` in a matrix, and rejects what no job can meet."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest

from pytest_clusterjobs import Expectation
from pytest_clusterjobs import Reason
from pytest_clusterjobs.ledger.codec import dump
from pytest_clusterjobs.ledger.codec import load
from pytest_clusterjobs.matrix.from_python import expectation_of
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import MetricExpectation
from pytest_clusterjobs.model import Range

MEANT: list[tuple[dict[str, Any], dict[str, Any], Any, Any]] = [
    ({}, {}, ("job_completed",), (0,)),
    ({"reasons": "job_failed"}, {"reason": "job_failed"}, ("job_failed",), None),
    ({"reasons": Reason.JOB_FAILED}, {"reason": Reason.JOB_FAILED}, ("job_failed",), None),
    ({"reasons": ["job_failed", "job_failed"]}, {"reason": ["job_failed"]}, ("job_failed",), None),
    (
        {"reasons": {"job_failed", "job_completed"}},
        {"reason": {"job_failed", "job_completed"}},
        ("job_completed", "job_failed"),
        None,
    ),
    ({"reasons": "any"}, {"reason": "any"}, ("any",), None),
    ({"reasons": "job_completed"}, {"reason": "job_completed"}, ("job_completed",), (0,)),
    ({"exit_codes": 0}, {"exit_code": 0}, ("job_completed",), (0,)),
    ({"exit_codes": 3}, {"exit_code": 3}, ("job_failed",), (3,)),
    ({"exit_codes": [3, 0, 3]}, {"exit_code": (3, 0)}, ("job_completed", "job_failed"), (3, 0)),
    ({"exit_codes": 137}, {"exit_code": 137}, ("job_failed", "killed_by_signal"), (137,)),
    ({"exit_codes": "nonzero"}, {"exit_code": "nonzero"}, ("job_failed",), "nonzero"),
    ({"exit_codes": [0, "nonzero"]}, {"exit_code": [0, "nonzero"]}, ("job_completed", "job_failed"), None),
    ({"reasons": "heartbeat_timeout"}, {"reason": "heartbeat_timeout"}, ("heartbeat_timeout",), None),
]


@pytest.mark.parametrize(("given", "mapping", "reasons", "codes"), MEANT)
def test_omitted_fields_have_the_defaults_of_a_matrix(
    given: dict[str, Any], mapping: dict[str, Any], reasons: Any, codes: Any
) -> None:
    expect = Expectation(**given)
    assert (expect.reasons, expect.exit_codes) == (reasons, codes)
    assert expectation_of(mapping) == expect
    assert replace(expect, restarts=Range(0, 0)) == Expectation(**given, restarts=0)


@pytest.mark.parametrize("given", [given for given, _, _, _ in MEANT])
def test_an_expectation_is_stored_without_warnings(given: dict[str, Any]) -> None:
    expect = Expectation(**given, log=LogExpectation(contains=["a", "b"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(Expectation, dump(expect)) == expect


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reasons": []}, "reasons: at least one entry is required"),
        ({"reasons": 3}, "reasons: a reason, or several, not 3"),
        ({"reasons": ["any", "job_failed"]}, "reasons: `any` cannot be combined with other reasons"),
        ({"reasons": "JOB_FAILED"}, "reasons: 'JOB_FAILED' is not a valid reason: use lower-case words"),
        ({"exit_codes": ()}, "exit_codes: at least one entry is required"),
        ({"exit_codes": 300}, "exit_codes: a code from 0 to 255 or nonzero, not 300"),
        ({"exit_codes": "3"}, "exit_codes: a code from 0 to 255 or nonzero, not '3'"),
        ({"exit_codes": True}, "exit_codes: a code from 0 to 255 or nonzero, or several, not True"),
        (
            {"reasons": "job_completed", "exit_codes": 3},
            "expect.exit_code: job_completed cannot have this exit code",
        ),
        (
            {"reasons": "cancelled", "exit_codes": 0},
            "a job that ends as cancelled has no exit code of its own",
        ),
        (
            {"restarts": ">=1"},
            "restarts: expected a Range, such as Range(low=1), not '>=1'; as text it goes",
        ),
        ({"run_time": 5}, "run_time: expected a Range"),
        ({"restarts": Range(high=-1)}, "expect.restarts: '<=-1' contains no number"),
        ({"log": "x"}, "log: expected a LogExpectation"),
        ({"metrics": {"a": {"min": 3}}}, "metrics.a: expected a MetricExpectation"),
        (
            {"metrics": {"a": MetricExpectation("a={number}", min=3, max=1)}},
            "expect.metrics.a: min is above max",
        ),
        (
            {"metrics": {"a": MetricExpectation("a=.", min=float("nan"))}},
            "expected a finite number, not nan",
        ),
        (
            {"log": LogExpectation(contains="an error", excludes="error")},
            "expect.log.excludes: 'error' is part of what the log must contain",
        ),
    ],
)
def test_an_expectation_that_no_job_can_meet_is_rejected(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Expectation(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize("texts", ["", ["x", " "], 3, [b"x"]])
def test_blank_texts_are_rejected(texts: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^log\.excludes: "):
        LogExpectation(excludes=texts)


@pytest.mark.parametrize(("low", "high"), [(3, 1), (float("nan"), None), (None, float("nan"))])
def test_empty_ranges_are_rejected(low: Any, high: Any) -> None:
    with pytest.raises(ValueError, match="contains no number"):
        Range(low, high)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [(Range(1), ">=1"), (Range(high=2, high_open=True), "<2"), (Range(1, 3), ">=1 <=3"), (Range(2, 2), "2")],
)
def test_ranges_are_shown(bounds: Range, text: str) -> None:
    assert str(bounds) == text


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"reason": "timeout"}, None),
        ({"exit_code": 300}, "expect.exit_code: expected a whole number from 0 to 255, not 300"),
        ({"log": {"matches": "("}}, "expect.log.matches: not a valid regular expression"),
        (
            {"log": {"contains": ""}},
            "expect.log.contains: a blank text is in every log: write the text to search for",
        ),
        ({"metrics": {"a": {"pattern": "x"}}}, "the pattern does not mark the number"),
        ({"reason": object()}, "expect: a matrix has no form for <object"),
    ],
)
def test_a_mapping_is_rejected_with_the_messages_of_a_matrix(
    mapping: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert expectation_of(mapping).reasons == ("timeout",), "words are checked with the spec"
        return
    with pytest.raises((TypeError, ValueError)) as caught:
        expectation_of(mapping)
    assert message in str(caught.value)
