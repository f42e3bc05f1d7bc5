"""A half-sweep over compressed rows: gather, Gram matrix, Cholesky and solve in one pass.

With x_i and y_ui scaled by sqrt(tau), and by the root of the rating's weight where it has one, a
row's ratings form an augmented panel A = (X, y). Its Gram matrix A^T A holds tau X^T X, tau X^T y
and tau y^T y; with (Lambda, Lambda m) added, its Cholesky factor holds U = L^T and, in the column
of y, z = inv(L) h. What is left is U w = z + epsilon, and the squared error is the quadratic form
(w, -1) A^T A (w, -1). All of it stays in a core's L1 and L2 cache; the only traffic is the gather.
"""

import numpy as np
from numba import prange

from pmf.inference.fused.vector_ir import (
    TILE,
    VECTOR_BYTES,
    add_outer_1,
    add_outer_2,
    copy_row,
    dot_from,
    fetch_add,
    lanes,
    prefetch_row,
    solve_tile,
    subtract_outer_1,
    subtract_outer_2,
)
from pmf.process.numba_cache import compiled

AHEAD = 16  # ratings whose rows are on their way from memory
STRIP = 64  # ratings gathered at a time: their panel and the Gram matrix fill the L1 cache
_COMPILED = {"nogil": True, "error_model": "numpy"}


def padded(d: int, itemsize: int) -> tuple[int, int]:
    """Rows and columns of the augmented (d + 1, d + 1) matrices: whole tiles, whole vectors."""
    return -(-(d + 1) // TILE) * TILE, -(-(d + 1) // lanes(itemsize)) * lanes(itemsize)


@compiled(**_COMPILED)
def _lanes(A):
    return VECTOR_BYTES // A.itemsize


@compiled(**_COMPILED)
def _add_gram(G, panel, count):
    """The upper triangle of G += panel^T panel, by register tiles."""
    rows, columns = G.shape
    width = _lanes(G)
    for i in range(0, rows, TILE):
        j = i // width * width
        while j + width < columns:
            add_outer_2(G, panel, i, j, count)
            j += 2 * width
        if j < columns:
            add_outer_1(G, panel, i, j, count)


@compiled(**_COMPILED)
def _factor(P, inverse, D, d):
    """P (d rows) becomes its upper Cholesky factor, P = U^T U; the columns beyond d, inv(U)^T P.

    Blocked, a tile of rows at a time; inverse[r] = 1 / U[r, r]. A P that is not positive definite
    gives NaN.
    """
    columns = P.shape[1]
    width = _lanes(P)
    for i in range(0, d, TILE):
        first = i // width * width
        j = first
        while j + width < columns:
            subtract_outer_2(P, P, i, j, i)
            j += 2 * width
        if j < columns:
            subtract_outer_1(P, P, i, j, i)
        _factor_tile(P, inverse, D, i, min(TILE, d - i))
        for j in range(first, columns, width):
            solve_tile(P, D, inverse, i, j)


@compiled(**_COMPILED)
def _factor_tile(P, inverse, D, i, size):
    """The factor of the tile on the diagonal into D; rows beyond `size` are those of a unit."""
    D[:] = 0
    for r in range(size):
        for c in range(r, size):
            D[r, c] = P[i + r, i + c]
    inverse[i : i + TILE] = 1
    for r in range(size):
        reciprocal = D.dtype.type(1) / np.sqrt(D[r, r])
        inverse[i + r] = reciprocal
        for c in range(r + 1, size):
            D[r, c] *= reciprocal
        for s in range(r + 1, size):
            for c in range(s, size):
                D[s, c] -= D[r, s] * D[r, c]


@compiled(**_COMPILED)
def _gather(panel, table, col, value, levels, root_weight, first, count, stop, scale, d):
    """Ratings first to first + count as panel rows (x, y), each times the root of its weight.

    Without levels values are ratings, without weights all are 1: `None` is a type, and leaves no
    test in the compiled loop.
    """
    for t in range(count):
        ahead = first + t + AHEAD
        if ahead < stop:
            prefetch_row(table, col[ahead])
        copy_row(table, col[first + t], panel, t)
        rating = value[first + t]
        if levels is None:
            panel[t, d] += scale * table.dtype.type(rating)
        else:
            panel[t, d] += scale * table.dtype.type(levels[np.int64(rating)])
        if root_weight is not None:
            for j in range(d + 1):
                panel[t, j] *= root_weight[first + t]


@compiled(**_COMPILED)
def _add_spread(G, total, spread, col, root_weight, first, stop, d1):
    """G += the sum of ratings' rows of `spread`, each times its weight: see `sweep`."""
    total[:] = 0
    for t in range(first, stop):
        if t + AHEAD < stop:
            prefetch_row(spread, col[t + AHEAD])
        cell = spread[col[t]]
        if root_weight is None:
            for p in range(len(total)):
                total[p] += cell[p]
        else:
            weight = root_weight[t] * root_weight[t]
            for p in range(len(total)):
                total[p] += weight * cell[p]
    if len(total) == G.shape[1]:
        for i in range(d1):
            G[i, i] += total[i]
    else:
        p = 0
        for i in range(d1):
            for j in range(i, d1):
                G[i, j] += total[p]
                p += 1


@compiled(**_COMPILED)
def _diagonal_covariance(G, P, d, covariance):
    """1 / P_ii; tr(G S) and log |S| of that S."""
    trace = log_det = 0.0
    for i in range(d):
        covariance[i] = 1 / P[i, i]
        trace += G[i, i] * covariance[i]
        log_det -= np.log(P[i, i])
    return trace, log_det


@compiled(fastmath={"contract", "reassoc"}, **_COMPILED)  # sums in vectors
def _whole_covariance(G, U, inverse, d, R, S, covariance):
    """The upper triangle of S = inv(U) inv(U)^T by rows; tr(G S) and log |S|."""
    S[:] = 0
    for j in range(d):
        R[j, j] = inverse[j]  # R[j] is column j of inv(U)
        for i in range(j - 1, -1, -1):
            total = U[i, j] * R[j, j]
            for k in range(i + 1, j):
                total += U[i, k] * R[j, k]
            R[j, i] = -total * inverse[i]
        for a in range(j + 1):
            for b in range(a, j + 1):
                S[a, b] += R[j, a] * R[j, b]
    trace = log_det = 0.0
    p = 0
    for a in range(d):
        log_det += 2 * np.log(inverse[a])
        trace -= G[a, a] * S[a, a]
        for b in range(a, d):
            trace += 2 * G[a, b] * S[a, b]
            covariance[p] = S[a, b]
            p += 1
    return trace, log_det


@compiled(**_COMPILED)
def _update(row, inputs, spread, results, scratch):
    """One row's new w and its squared error times tau; its covariance where there is a spread."""
    start, col, value, levels, root_weight, table, prior, shift, weight, epsilon, scale = inputs
    w, error, covariance, trace, log_det = results
    panel, G, P, inverse, D, a, total, R, S = scratch
    d = epsilon.shape[1]
    width = _lanes(G)
    G[:] = 0
    first, stop = start[row], start[row + 1]
    while first < stop:
        count = min(STRIP, stop - first)
        _gather(panel, table, col, value, levels, root_weight, first, count, stop, scale, d)
        _add_gram(G, panel, count)
        first += count
    if spread is not None:
        _add_spread(G, total, spread, col, root_weight, start[row], stop, d + 1)
    for i in range(G.shape[0]):
        for j in range(G.shape[1]):
            P[i, j] = G[i, j] + weight[row] * prior[i, j]
    for i in range(d):
        P[i, d] += (
            weight[row] * shift[row % len(shift), i]
        )  # as epsilon: one row for all, or each its own
    if spread is not None and covariance.shape[1] == d:
        trace[row], log_det[row] = _diagonal_covariance(G, P, d, covariance[row])
    _factor(P, inverse, D, d)
    if spread is not None and covariance.shape[1] > d:
        trace[row], log_det[row] = _whole_covariance(G, P, inverse, d, R, S, covariance[row])
    z = epsilon[row % len(epsilon)]
    a[:] = 0
    a[d] = -1  # a = (w, -1), known from the end on; entries still unknown are 0
    squares = np.float64(G[d, d])
    for i in range(d - 1, -1, -1):
        j = i // width * width
        g = np.float64(dot_from(G, i, a, j))
        x = (z[i] - dot_from(P, i, a, j)) * inverse[i]
        squares += x * (2 * g + np.float64(G[i, i]) * x)
        w[row, i] = a[i] = x
    error[row] = max(squares, 0.0)  # rounding may take a perfect fit below zero


@compiled(parallel=True, **_COMPILED)
def sweep(
    threads,
    start,
    col,
    value,
    share,
    levels,
    root_weight,
    spread,
    table,
    prior,
    shift,
    weight,
    epsilon,
    scale,
    w,
    error,
    covariance,
    trace,
    log_det,
):
    """Update all rows: each thread takes shares of about equal work until none is left.

    With a `spread`, tau times the covariance of each row (x, y) of the table, the update is in
    expectation, and the last three are its results too. A row of it is a diagonal, as wide as
    `prior`, or an upper triangle by rows; so is one of `covariance`, with nothing behind it.
    """
    rows, columns = prior.shape
    counter = np.zeros(1, np.int64)
    side, size = (0, 0) if spread is None else (rows, spread.shape[1])
    for _ in prange(threads):
        results = w, error, covariance, trace, log_det
        inputs = start, col, value, levels, root_weight, table, prior, shift, weight, epsilon, scale
        scratch = (
            np.empty((STRIP, columns), table.dtype),
            np.empty((rows, columns), table.dtype),
            np.empty((rows, columns), table.dtype),
            np.empty(rows, table.dtype),
            np.empty((TILE, TILE), table.dtype),
            np.empty(columns, table.dtype),
            np.empty(size, table.dtype),
            np.empty((side, side), table.dtype),
            np.empty((side, side), table.dtype),
        )
        while True:
            k = fetch_add(counter, 1)
            if k + 1 >= len(share):
                break
            for row in range(share[k], share[k + 1]):
                _update(row, inputs, spread, results, scratch)
