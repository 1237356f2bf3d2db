"""The list of mutations cannot rot: each changes the source as it is now, and the result is valid Python."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tests.testing.mutation_list import Mutation
from tests.testing.mutation_list import MUTATIONS
from tests.testing.mutations import apply
from tests.testing.mutations import PACKAGE
from tests.testing.mutations import ROOT
from tests.testing.mutations import Runner


def test_numbers_are_unique_and_the_fixed_list_is_complete() -> None:
    numbers = [each.number for each in MUTATIONS]
    assert len(numbers) == len(set(numbers))
    assert set(range(1, 65)) <= set(numbers)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.number}")
def test_each_old_text_occurs_exactly_once(mutation: Mutation, tmp_path: Path) -> None:
    names = dict.fromkeys(name for name, _, _ in mutation.changes)
    for name in names:
        assert not name.startswith("testing/")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / PACKAGE / name, tmp_path / name)
    before = {name: (tmp_path / name).read_text() for name in names}
    for name, old, _ in mutation.changes:
        assert before[name].count(old) == 1
    apply(mutation, tmp_path)
    for name in names:
        after = (tmp_path / name).read_text()
        assert after != before[name]
        ast.parse(after)


def test_the_first_mutation_is_found_and_no_mutation_is_not(tmp_path: Path) -> None:
    """The runner itself works: the package as it is has no violation, and a gross fault has one at once."""
    runner = Runner(3, tmp_path)
    (gross,) = [each for each in MUTATIONS if each.number == 1]
    found = runner.run(gross)
    assert (found.is_invalid, found.broken) == (False, "a")
    assert runner.run(Mutation(0, "nothing", ())).seed is None
