"""Marks of a matrix that pytest does not know: told where the matrix has them, once a mark."""

from __future__ import annotations

import pytest

MATRIX = """\
recipes: {a: x, b: y}
nodes: [1, 2]
defaults:
  marks: [gpu, {skip: why}]
conditions:
  c: {}
  d: {marks: clster}
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nmarkers = nightly: at night\n")
    pytester.mkdir("matrices").joinpath("m.yaml").write_text(MATRIX)
    return pytester


def test_each_is_warned_of_once_at_its_line(project: pytest.Pytester) -> None:
    result = project.runpytest("--collect-only", "-q", "-W", "default")
    text = result.stdout.str()
    assert text.count("PytestUnknownMarkWarning") == 2
    result.stdout.fnmatch_lines(
        [
            "*/matrices/m.yaml:4: PytestUnknownMarkWarning: Unknown pytest.mark.gpu - is this a typo?*",
            "*/matrices/m.yaml:7: PytestUnknownMarkWarning: Unknown pytest.mark.clster - is this a typo?*",
        ]
    )
    assert "items.py" not in text and "marks.py" not in text


def test_with_strict_markers_file_line_and_cell_are_named(project: pytest.Pytester) -> None:
    result = project.runpytest("--collect-only", "-q", "--strict-markers")
    text = result.stdout.str()
    assert (
        "matrices/m.yaml:4:11: marks: 'gpu' not found in `markers` configuration option (cell a-1n-c)" in text
    )
    assert (
        "matrices/m.yaml:7:14: marks: 'clster' not found in `markers` configuration option (cell a-1n-d)"
        in text
    )
    assert "Traceback" not in text and ".py:" not in text


def test_with_warnings_as_errors_there_is_no_traceback(project: pytest.Pytester) -> None:
    result = project.runpytest("--collect-only", "-q", "-W", "error")
    text = result.stdout.str()
    assert "matrices/m.yaml:4:11: marks: Unknown pytest.mark.gpu - is this a typo?" in text
    assert "Traceback" not in text and ".py:" not in text


def test_a_warning_of_the_matrix_as_an_error_is_one_line(project: pytest.Pytester) -> None:
    project.path.joinpath("matrices/m.yaml").write_text("recipes: {a: {run: x | y, shell: sh}}")
    text = project.runpytest("--collect-only", "-q", "-W", "error").stdout.str()
    assert "matrices/m.yaml:1:20: with `shell: sh` a pipe hides failures" in text
    assert "Traceback" not in text and ".py:" not in text


def test_a_filter_of_warnings_is_heeded_and_marks_select(project: pytest.Pytester) -> None:
    result = project.runpytest(
        "--collect-only", "-q", "-m", "clster", "-W", "ignore::pytest.PytestUnknownMarkWarning"
    )
    text = result.stdout.str()
    assert "PytestUnknownMarkWarning" not in text
    assert [line.rpartition("::")[2] for line in text.splitlines() if "::" in line] == [
        "a-1n-d", "a-2n-d", "b-1n-d", "b-2n-d",
    ]  # fmt: skip
