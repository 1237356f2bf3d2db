"""The conformance suite's messages for the author of another backend."""

from __future__ import annotations

import pytest

from pytest_clusterjobs.testing import Harness

SUITE = """
    import pytest
    from pytest_clusterjobs.testing import BackendConformance
    from pytest_clusterjobs.testing import Harness

    class TestLocal(BackendConformance):
"""


def test_a_harness_rejects_a_name_that_is_not_a_backend_type() -> None:
    with pytest.raises(TypeError, match="json:dumps is not a BackendType"):
        _ = Harness(backend="json:dumps").type


def test_a_suite_without_a_harness_has_a_message(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE + "        pass")
    result = pytester.runpytest("-k", "survives_json")
    result.assert_outcomes(errors=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["*override the fixture `harness`*"])


def test_a_test_in_lacks_is_skipped_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SUITE
        + """
        @pytest.fixture
        def harness(self):
            return Harness(
                backend="pytest_clusterjobs.backends.local:TYPE",
                lacks={"test_an_exit_code_is_reported": "this cluster reports no codes"},
            )
        """
    )
    result = pytester.runpytest("-rs", "-k", "exit_code_is_reported")
    assert result.parseoutcomes()["skipped"] == 9
    result.stdout.fnmatch_lines(["*this cluster reports no codes*"])


def test_a_failed_assertion_is_explained(pytester: pytest.Pytester) -> None:
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
    result = pytester.runpytest_subprocess("-k", "exit_code_is_reported and 137")
    result.assert_outcomes(failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["E *, 0) == (*, 137)"])
