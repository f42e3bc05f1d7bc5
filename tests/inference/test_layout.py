"""Blocks hold each rating once. Catches: a row lost between widths, a cell of another row."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from pmf.data.synthetic import movielens_shaped
from pmf.data.values import coded_values
from pmf.errors import InputError
from pmf.inference.blocks import widths
from pmf.inference.layout import by_rows
from pmf.types import Ratings


def cells(blocks, num_rows: int, num_cols: int) -> list[tuple]:
    triples, rows_met = [], []
    for rows in blocks.blocks:
        row, col, value = (np.asarray(x) for x in rows[:3])
        rows_met += row[row < num_rows].tolist()
        is_cell = (col < num_cols) & (row < num_rows)[..., None]
        assert np.all(value[~is_cell] == 0)
        owner = np.broadcast_to(row[..., None], col.shape)[is_cell]
        triples += zip(owner.tolist(), col[is_cell].tolist(), value[is_cell].tolist(), strict=True)
    assert sorted(rows_met) == list(range(num_rows))
    return sorted(triples)


@pytest.mark.parametrize("growth", [1.1, 1.3, 2.0, None])
def test_every_row_and_every_rating_once(growth):
    ratings = movielens_shaped(0, n=5000, users=90, items=300)
    data = by_rows(ratings, 91, 305, rank=4, growth=growth, fused=False)  # some rows have no rating
    user, item, value = (x.tolist() for x in ratings)
    assert cells(data.by_user, 91, 305) == sorted(zip(user, item, value, strict=True))
    assert cells(data.by_item, 305, 91) == sorted(zip(item, user, value, strict=True))
    assert data.user_count.sum() == data.item_count.sum() == 5000


def test_observed_subset_keeps_shapes_and_drops_the_rest():
    ratings = movielens_shaped(0, n=2000, users=60, items=200)
    observed = np.random.default_rng(0).random(2000) < 0.8
    whole = by_rows(ratings, 60, 200, 4, fused=False)
    part = by_rows(ratings, 60, 200, 4, observed, fused=False)
    assert [r.col.shape for r in whole.by_user.blocks] == [r.col.shape for r in part.by_user.blocks]
    expected = [x[observed].tolist() for x in ratings]
    assert cells(part.by_user, 60, 200) == sorted(zip(*expected, strict=True))
    assert part.user_count.sum() == observed.sum()


@pytest.mark.parametrize("fused", [False, True])
def test_repeated_pair_is_refused(fused):
    twice = Ratings(*(np.array(x) for x in ([0, 1, 0], [2, 2, 2], [1.0, 2.0, 3.0])))
    with pytest.raises(InputError, match="1 ratings repeat"):
        by_rows(twice, 2, 3, rank=2, fused=fused)


def stars(rows):
    """The ratings that the values of compressed rows stand for."""
    value = np.asarray(rows.value)
    return rows.levels[value] if value.dtype == np.uint8 else value


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_compressed_rows_are_scipys(shuffled, coded):
    ratings = movielens_shaped(0, n=5000, users=90, items=300)
    if shuffled:
        order = np.random.default_rng(0).permutation(5000)
        ratings = Ratings(*(x[order] for x in ratings))
    user, item, value = ratings
    inputs = ratings._replace(value=coded_values(value)) if coded else ratings
    data = by_rows(inputs, 91, 305, rank=4, fused=True)
    for rows, truth in (
        (data.by_user, csr_array((value, (user, item)), (91, 305))),
        (data.by_item, csr_array((value, (item, user)), (305, 91))),
    ):
        np.testing.assert_array_equal(rows.start, truth.indptr)
        assert rows.value.dtype == (np.uint8 if coded else value.dtype)
        mine = csr_array((stars(rows), rows.col, rows.start), truth.shape)
        assert (mine != truth).nnz == 0 and len(rows.col) == truth.nnz
        assert rows.share[0] == 0 and rows.share[-1] == truth.shape[0]
        assert np.all(np.diff(rows.share) > 0)


def test_compressed_subset_keeps_shapes_and_pads_the_rest():
    ratings = movielens_shaped(0, n=2000, users=60, items=200)
    observed = np.random.default_rng(0).random(2000) < 0.8
    inputs = ratings._replace(value=coded_values(ratings.value))
    rows = by_rows(inputs, 60, 200, 4, observed, fused=True).by_item
    owner = np.repeat(np.arange(200), np.diff(rows.start))
    is_cell = np.asarray(rows.col) < 60
    triples = zip(np.asarray(rows.col)[is_cell], owner[is_cell], stars(rows)[is_cell], strict=True)
    assert sorted(triples) == sorted(zip(*(x[observed] for x in ratings), strict=True))
    assert len(rows.col) == 2000 and np.all(np.asarray(rows.value)[~is_cell] == 0)


def test_widths_waste_little():
    """At most growth - 1, plus rounding to 8, above the smallest width."""
    ladder = widths(100_000, 1.3)
    assert ladder[0] == 8 and ladder[-1] >= 100_000 and np.all(ladder % 8 == 0)
    assert np.all(ladder[1:] <= np.maximum(ladder[:-1] * 1.3 + 8, ladder[:-1] + 8))
