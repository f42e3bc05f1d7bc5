"""The Gibbs sweep leaves the posterior invariant, in every ablation shape. See `exactness.py`."""

import pytest

from pmf.types import Terms
from tests.helpers.exactness import p_values

SHAPES = {
    "mean only": Terms(0, False, False),
    "user bias": Terms(0, True, False),
    "item bias": Terms(0, False, True),
    "both biases": Terms(0, True, True),
    "factors only": Terms(2, False, False),
    "factors and user bias": Terms(2, True, False),
    "factors and item bias": Terms(2, False, True),
    "everything": Terms(2, True, True),
}
JOINED = [x for x, terms in SHAPES.items() if terms.rank and terms.user_bias | terms.item_bias]
FALSE_REJECTION = 1e-4  # of the whole family, as in MCMCTesting (Gandy & Scott 2021)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "is_joint"),
    [*((x, False) for x in SHAPES), *((x, True) for x in JOINED)],
    ids=[*(f"{x}-separate" for x in SHAPES), *(f"{x}-joint" for x in JOINED)],
)
def test_sweep_leaves_joint_distribution(shape, is_joint):
    check(p_values(seed=1, terms=SHAPES[shape], is_joint=is_joint))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["mean only", "both biases", "factors only", "everything"])
def test_fused_sweep_leaves_joint_distribution(shape):
    check(p_values(seed=1, terms=SHAPES[shape], fused=True))


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "fused"), [("user", True), ("both", False)])
def test_noise_of_rows_own_leaves_joint_distribution(noise, fused):
    check(p_values(seed=1, terms=SHAPES["everything"], noise=noise, fused=fused))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "kinds", "is_joint"),
    [
        ("everything", ("given", "rated"), True),
        ("factors and item bias", ("rated",), False),
    ],
)
def test_features_leave_joint_distribution(shape, kinds, is_joint):
    check(p_values(seed=1, terms=SHAPES[shape], kinds=kinds, is_joint=is_joint, noise="user"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "kinds", "is_joint", "noise", "fused"),
    [
        ("everything", (), False, "both", True),
        ("everything", ("rated",), True, "user", False),
    ],
)
def test_contexts_leave_joint_distribution(shape, kinds, is_joint, noise, fused):
    own = {"kinds": kinds, "is_joint": is_joint, "noise": noise, "fused": fused}
    check(p_values(seed=1, terms=SHAPES[shape], in_contexts=True, **own))


def check(p: dict[str, float]) -> None:
    level = FALSE_REJECTION / (3 * len(SHAPES) * len(p))
    assert min(p.values()) > level, sorted(p.items(), key=lambda pair: pair[1])[:3]
