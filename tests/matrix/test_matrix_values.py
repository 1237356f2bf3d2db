from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_clusterjobs.matrix import values
from pytest_clusterjobs.model import notation


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2d", 172800),
        ("1d2h3m4s5ms", 93784.005),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert notation.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("90", "a duration needs a unit: 90s, 90m or 90h"),
        ("1.5", "a duration needs a unit: 1.5s, 1.5m or 1.5h"),
        ("30m1h", "'30m1h' is not a valid duration: write 250ms, 90s, 20m, 1h30m or 2d"),
        ("10 m", "'10 m' is not a valid duration"),
        ("10min", "'10min' is not a valid duration"),
        ("-5s", "'-5s' is not a valid duration"),
        ("", "'' is not a valid duration"),
        ("5s\n", "is not a valid duration"),
        ("0s", "a duration must be more than 0 and at most 366d, not 0s"),
        ("400d", "a duration must be more than 0 and at most 366d, not 400d"),
        ("9" * 400 + "s", "is not a valid duration"),
    ],
)
def test_an_invalid_duration_is_rejected_with_the_fix(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        notation.parse_duration(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64GiB", 64 * 2**30), ("512MB", 512 * 10**6), ("1.5KiB", 1536), ("1 kB", 1000), ("7B", 7)],
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert notation.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64", "a size needs a unit: 64GiB"),
        ("64G", "'64G' is not a valid size"),
        ("0B", "more than 0"),
        ("2000TiB", "at most 1024TiB"),
    ],
)
def test_an_invalid_size_is_rejected_with_the_fix(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        notation.parse_size(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1", [1, 2], [0]),
        (">1", [2], [1]),
        ("<10", [0, 9], [10]),
        ("<=10", [10], [11]),
        ("2..5", [2, 5], [1, 6]),
        ("==3", [3], [2, 4]),
        ("3", [3], [2, 4]),
        (">= 1", [1], [0]),
    ],
)
def test_a_range_of_counts_has_its_bounds(text: str, inside: list[float], outside: list[float]) -> None:
    bounds = values.parse_count_range(text)
    assert all(each in bounds for each in inside)
    assert not any(each in bounds for each in outside)
    assert str(bounds) == text


def test_a_range_of_durations_is_in_seconds() -> None:
    bounds = values.parse_duration_range("1m..5m")
    assert (bounds.low, bounds.high) == (60, 300)


@pytest.mark.parametrize("text", ["5..2", "<0", ">=x", "..", "1..", "", ">=-1", "1.5", "=3"])
def test_an_invalid_range_of_counts_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        values.parse_count_range(text)


@pytest.mark.parametrize(
    ("text", "sides"),
    [("5%", (0.05, 0.05)), ("-5%", (0.05, None)), ("+20%", (None, 0.2)), ("-5%..+20%", (0.05, 0.2))],
)
def test_tolerances_are_fractions(text: str, sides: tuple[float | None, float | None]) -> None:
    assert values.parse_tolerance(text) == pytest.approx(sides)


@pytest.mark.parametrize("text", ["5", "+20%..-5%", "%", "5 %", "five"])
def test_an_invalid_tolerance_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="write 5%"):
        values.parse_tolerance(text)


@pytest.mark.parametrize("text", ["-5%..20%", "5%..20%", "-5..+20", "-5% .. +20%"])
def test_a_tolerance_with_two_sides_is_spelled_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"write -5%\.\.\+20%$"):
        values.parse_tolerance(text)


@given(st.text(max_size=80))
def test_hostile_text_gives_a_value_error_or_a_value(text: str) -> None:
    for parse in (
        notation.parse_duration,
        notation.parse_size,
        values.parse_count_range,
        values.parse_tolerance,
    ):
        try:
            parse(text)
        except ValueError as error:
            assert len(str(error)) < 300
