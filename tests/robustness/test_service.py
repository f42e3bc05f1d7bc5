"""A process that lives long. Catches: a request in many that fails, programs that pile up."""

from itertools import islice

import pytest

from tests.robustness.service import served


@pytest.mark.slow
def test_requests_of_all_kinds_and_sizes_end_well_and_leave_nothing_behind():
    counts = list(islice(served(), 400))
    assert [count.requests for count in counts] == list(range(1, 401))
    # All sizes of the ladders, for models of three shapes; without ladders it is some a request.
    assert counts[-1].programs - counts[199].programs < 40
