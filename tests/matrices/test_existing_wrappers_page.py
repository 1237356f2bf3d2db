"""docs/existing_wrappers.md: its rules are those of the shipped example, and its tables are judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "existing_wrappers.md").read_text("utf-8")
MATRICES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows() -> list[tuple[str, tuple[str, ...]]]:
    """Each row of the tables, with the matrix above its table."""
    found = []
    for matrix, rest in re.findall(
        r"^```yaml\n(.*?)^```$(.*?)(?=^```yaml|\Z)", PAGE, re.MULTILINE | re.DOTALL
    ):
        table = re.findall(r"^\| (.* \| .* \| \d \| .* \| .*) \|$", rest, re.MULTILINE)
        found += [(matrix, tuple(row.split(" | "))) for row in table]
    return found


def cell_of(matrix: str, folder: Path) -> Cell:
    path = folder / "example.yaml"
    path.write_text(matrix, "utf-8")
    (cell,) = load_matrix(path, rootdir=folder, site=Site()).cells
    return cell


SHORT = {"reason: ": "[SUMMARY] Termination reason: ", "code: ": "[SUMMARY] Exit code: "}
"""The beginnings of lines in the tables, and what they stand for."""


def printed(column: str) -> str:
    return "".join(f"step=1\n{whole(line)}\n" for line in re.findall("`(.*?)`", column))


def whole(line: str) -> str:
    return next(
        (full + line.removeprefix(short) for short, full in SHORT.items() if line.startswith(short)), line
    )


def end_of(cell: Cell, rules: Classification, logs: list[str], code: int) -> Outcome:
    nodes = tuple(NodeState(rank, report=SentinelReport(SentinelWord.EXITED, rank, code)) for rank in (0, 1))
    seen = Observation(Phase.ENDED, native_state="SUCCEEDED", nodes=nodes)
    return outcome(
        cell.spec,
        seen,
        action=None,
        classification=rules,
        log=lambda rank: LogChunk(logs[rank], complete=True),
    )


def text(end: Outcome) -> str:
    return f"`{end.reason}`" + ("" if end.exit_code is None else f" exit {end.exit_code}")


@pytest.mark.parametrize(("matrix", "row"), rows())
def test_each_row_has_the_documented_outcome(matrix: str, row: tuple[str, ...], tmp_path: Path) -> None:
    first, second, code, documented, without_rules = row
    cell = cell_of(matrix, tmp_path)
    logs = [printed(first), printed(first if second == "same" else second)]
    assert text(end_of(cell, cell.classify, logs, int(code))) == documented
    assert text(end_of(cell, Classification(), logs, int(code))) == without_rules


def test_the_tables_are_found() -> None:
    assert len(rows()) == 17
    for short, full in SHORT.items():
        assert f"- `{short}X` stands for the line `{full}X`.\n" in PAGE


def test_the_log_is_green_without_rules_and_read_with_them(tmp_path: Path) -> None:
    (log,) = re.findall(r"^## The trap\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    cell = cell_of(MATRICES[0], tmp_path)
    end = end_of(cell, cell.classify, [log, log], 0)
    assert (end.reason, end.restarts) == ("heartbeat_timeout", 1)
    assert text(end_of(cell, Classification(), [log, log], 0)) == "`job_completed` exit 0"


def test_the_page_quotes_the_message_for_an_unknown_word(tmp_path: Path) -> None:
    cell = cell_of(MATRICES[0], tmp_path)
    end = end_of(cell, cell.classify, ["[SUMMARY] Termination reason: sunspots\n"] * 2, 0)
    assert f"why: {end.detail} (source: {end.source})\n" in PAGE


def test_the_rules_are_those_of_the_shipped_example(tmp_path: Path) -> None:
    shipped = load_matrix(ROOT / "matrices/examples/existing_wrapper.yaml", rootdir=ROOT, site=Site())
    assert {cell.classify.rules for cell in shipped.cells} == {cell_of(MATRICES[0], tmp_path).classify.rules}
    assert shipped.warnings == ()


@pytest.mark.parametrize(("matrix", "reason"), list(zip(MATRICES, ["unknown", "start_failed"], strict=True)))
def test_a_failed_setup_has_the_documented_reason(matrix: str, reason: str, tmp_path: Path) -> None:
    cell = cell_of(matrix, tmp_path)
    nodes = tuple(
        NodeState(rank, report=SentinelReport(SentinelWord.START_FAILED, rank, 1)) for rank in (0, 1)
    )
    seen = Observation(Phase.ENDED, nodes=nodes)
    end = outcome(
        cell.spec,
        seen,
        action=None,
        classification=cell.classify,
        log=lambda rank: LogChunk("", complete=True),
    )
    assert end.reason == reason
    assert "setup or shell failed, exit code 1" in end.detail
