"""A regular expression that never ends blocks neither pytest nor the other cells.

It does today. Issue 17 ("a run's own process") mends it: a pattern runs where it can be ended, or in
linear time.
"""

from __future__ import annotations

import pytest

PATIENCE = 5.0
"""Seconds until pytest counts as blocked and its process is killed."""


@pytest.mark.parametrize(
    ("prints", "pattern"),
    [
        ("printf sps=; head -c 1000000 /dev/zero | tr '\\0' x", ".*sps=([0-9.]+)"),
        ("echo 000000000000000000000000000000000000000000x", "^(0+)+$"),
    ],
    ids=["one long line", "nested repeats"],
)
@pytest.mark.xfail(
    reason="issue 17: a run's own process ends patterns", raises=pytest.Pytester.TimeoutExpired, strict=True
)
def test_the_cell_is_an_error_that_names_the_pattern(
    pytester: pytest.Pytester, prints: str, pattern: str
) -> None:
    (pytester.path / "matrices").mkdir()
    (pytester.path / "matrices" / "m.yaml").write_text(
        f"""
recipes:
  a: |
    {prints}
nodes: [1]
conditions:
  other: {{run: 'true'}}
  runaway: {{expect: {{metrics: {{m: {{pattern: '{pattern}', min: 1}}}}}}}}
"""
    )
    result = pytester.runpytest_subprocess(timeout=PATIENCE)
    result.assert_outcomes(passed=1, errors=1)
    assert pattern in result.stdout.str()
