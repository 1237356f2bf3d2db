"""What a third party gets from the suite when something is missing."""

from __future__ import annotations

import pytest

from pytest_clusterjobs.testing import Harness

SUITE = """
    import pytest
    from pytest_clusterjobs.testing import BackendConformance
    from pytest_clusterjobs.testing import Harness

    class TestLocal(BackendConformance):
"""


def test_a_harness_names_what_is_no_backend_type() -> None:
    with pytest.raises(TypeError, match="json:dumps is not a BackendType"):
        _ = Harness(backend="json:dumps").type


def test_a_suite_without_a_harness_says_what_to_do(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE + "        pass")
    result = pytester.runpytest("-k", "survives_json")
    result.assert_outcomes(errors=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["*override the fixture `harness`*"])


def test_what_a_backend_lacks_is_skipped_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SUITE
        + """
        @pytest.fixture
        def harness(self):
            return Harness(
                backend="pytest_clusterjobs.backends.local:TYPE",
                lacks={"test_an_exit_code_comes_back": "codes are not told here"},
            )
        """
    )
    result = pytester.runpytest("-rs", "-k", "exit_code_comes_back")
    assert result.parseoutcomes()["skipped"] == 9
    result.stdout.fnmatch_lines(["*codes are not told here*"])


def test_a_failed_promise_explains_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SUITE
        + """
        @pytest.fixture
        def harness(self):
            return Harness(
                backend="pytest_clusterjobs.testing.noop:NOOP",
                start_seconds=1.0,
                scale=0.1,
            )
        """
    )
    result = pytester.runpytest_subprocess("-k", "exit_code_comes_back and 137")
    result.assert_outcomes(failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["E *, 0) == (*, 137)"])
