"""A process that answers for long. Catches: an error in a mix of requests, or programs that each
size of request and each model that is loaded leave behind."""

from itertools import islice

import pytest

from tests.robustness.service import served


@pytest.mark.slow
def test_requests_leave_nothing_behind():
    counts = [count.programs for count in islice(served(), 160)]
    assert counts[-1] - counts[110] <= 12 < counts[-1]
