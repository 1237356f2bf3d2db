"""docs/verdicts.md is correct: its matrices load, its tables are judged, its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.judge import judge
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import REASON_CLASSES
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Source

PAGE = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_END = re.compile(r"`(?P<reason>\w+)`(?: exit (?P<code>\d+))?(?: after (?P<beats>\d+) heartbeats)?")


def blocks(kind: str) -> list[str]:
    return [match["text"] for match in _BLOCK.finditer(PAGE) if match["kind"] == kind]


def rows(first_column: str) -> list[tuple[str, tuple[str, ...]]]:
    """Each row of the tables that start with ``first_column``, with the matrix above its table."""
    found = []
    for matrix, table in re.findall(r"```yaml\n([^`]*)```\n\n((?:\|.*\n)+)", PAGE):
        cells = [tuple(cell.strip() for cell in row.strip("|").split(" | ")) for row in table.splitlines()]
        if cells[0][0] == first_column:
            found += [(matrix, row) for row in cells[2:]]
    return found


def cell_of(matrix: str, folder: Path) -> Cell:
    path = folder / "example.yaml"
    path.write_text(matrix, "utf-8")
    (cell,) = load_matrix(path, rootdir=folder, site=Site()).cells
    return cell


def end_in(text: str) -> tuple[str, int | None]:
    match = _END.fullmatch(text)
    assert match is not None, text
    return match["reason"], None if match["code"] is None else int(match["code"])


def beats_in(text: str) -> int | None:
    match = _END.fullmatch(text)
    return int(match["beats"]) if match is not None and match["beats"] is not None else None


def test_the_page_names_every_reason_with_its_class() -> None:
    table = re.findall(r"^\| `(\w+)` \| (product|user|infra) \|", PAGE, re.MULTILINE)
    assert table == [(reason.value, reason.reason_class.value) for reason in Reason]


def test_the_page_names_the_sources_in_their_order() -> None:
    sources = re.findall(r"^\d\. \*\*(.+?)\*\*", PAGE, re.MULTILINE)
    assert sources == [source.value for source in Source if source is not Source.NONE]


@pytest.mark.parametrize("matrix", blocks("yaml"))
def test_matrices_load(matrix: str, tmp_path: Path) -> None:
    assert cell_of(matrix, tmp_path)


@pytest.mark.parametrize(("matrix", "row"), rows("it ends as"))
def test_each_end_on_the_page_has_its_verdict(matrix: str, row: tuple[str, str], tmp_path: Path) -> None:
    reason, code = end_in(row[0])
    end = Outcome(
        reason, REASON_CLASSES[reason], Source.SENTINEL, exit_code=code, heartbeats=beats_in(row[0])
    )
    assert judge(cell_of(matrix, tmp_path).expect, end, log=None, nodes=1).verdict == row[1]


@pytest.mark.parametrize(("matrix", "row"), rows("it prints"))
def test_each_log_line_on_the_page_has_its_outcome(
    matrix: str, row: tuple[str, str, str], tmp_path: Path
) -> None:
    printed, code, promised = row
    cell = cell_of(matrix, tmp_path)
    report = SentinelReport(SentinelWord.EXITED, 0, int(code))
    log = LogChunk(printed.strip("`") + "\n", complete=True)
    seen = Observation(Phase.ENDED, nodes=(NodeState(0, report=report),))
    end = outcome(cell.spec, seen, action=None, classification=cell.classify, log=lambda rank: log)
    assert (end.reason, end.exit_code) == end_in(promised)


@pytest.mark.parametrize("code", blocks("python"))
def test_code_runs(code: str) -> None:
    exec(compile(code, "docs/verdicts.md", "exec"), {})


def test_the_tables_are_found() -> None:
    assert (len(rows("it ends as")), len(rows("it prints"))) == (21, 7)
