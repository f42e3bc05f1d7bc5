"""The tests of the tests: each mistake of `tests/mistakes` fails the tests that are to catch it."""

import pytest

from tests.helpers.planting import (
    FAILED,
    complaints,
    copy_of_the_repository,
    mistakes,
    outcome,
    passed,
    plant,
)

LISTED = mistakes()
KINDS = sorted({mistake.kind for mistake in LISTED})


@pytest.mark.parametrize("kind", KINDS)
def test_every_mistake_still_applies(kind):
    """Where this fails the code has moved on: mend the entry, so that it plants its mistake."""
    wrong = {x.name: complaints(x) for x in LISTED if x.kind == kind}
    assert not {name: texts for name, texts in wrong.items() if texts}


@pytest.mark.mistakes
@pytest.mark.parametrize("mistake", LISTED, ids=lambda x: f"{x.kind}: {x.name}")
def test_a_mistake_is_caught(mistake, tmp_path):
    copy_of_the_repository(tmp_path)
    plant(mistake, tmp_path)
    result = outcome(mistake.tests, tmp_path)
    assert result.code in (0, FAILED), result.output  # the tests ran
    survived = [test for test in mistake.tests if passed(test, result.failed)]
    assert not survived, f"{mistake.name}: survives {', '.join(survived)}"


@pytest.mark.mistakes
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_mistake_the_same_tests_pass(kind, tmp_path):
    """They reject mistakes, not the copy."""
    copy_of_the_repository(tmp_path)
    result = outcome([test for x in LISTED if x.kind == kind for test in x.tests], tmp_path)
    assert result.code == 0, result.output
