"""The one driver: runs any algorithm, keeps time and records, stops, averages draws."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from pmf.errors import NotFiniteError
from pmf.placement import fetched
from pmf.predictive import Moments, Prediction, no_moments, observe, summarise
from pmf.types import Algorithm, Data, Params, Prior, Ratings

CALM_STEPS = 3  # an oscillating optimizer may stand still for one step by chance


@dataclass(frozen=True)
class Schedule:
    """How long to run and what to keep.

    A point method takes `num_steps` steps and keeps the last. A sampler (`average`) discards
    `burn_in` sweeps, then keeps every `thin`-th until it has `num_steps` draws a chain.

    `tolerance` stops a point method when the log posterior's change, relative to the larger of its
    size and the number of ratings, stays below it for three steps. `patience` stops one when the
    RMSE of validation ratings has not improved for that many steps, and returns the best step.
    """

    num_steps: int
    average: bool = False
    burn_in: int = 0
    thin: int = 1
    num_chains: int = 1
    store_draws: bool = True
    tolerance: float = 0.0
    patience: int | None = None

    @property
    def total_steps(self) -> int:
        return self.burn_in + self.num_steps * self.thin

    def keeps(self, step: int) -> bool:
        """Whether the state after `step` (from 1) is a draw to keep."""
        return step > self.burn_in and (step - self.burn_in) % self.thin == 0


class Record(NamedTuple):
    """One step. `seconds` is the time in steps so far, without compilation and evaluation."""

    step: int
    seconds: float
    log_posterior: float
    heldout_rmse: float  # NaN without held-out ratings


class Run(NamedTuple):
    """What a run leaves. A point method's one "draw" is its estimate."""

    draws: Params  # fields have a leading axis (s,)
    noise_variance: np.ndarray  # (s,): 1/tau of each draw
    prior: Prior  # as of the last step
    records: list[Record]
    log_posterior: float  # of the estimate; a sampler's mean over kept sweeps
    heldout: Prediction | None  # of the held-out pairs, over all kept draws
    compile_seconds: float
    stopped: str


@jax.jit
def _start_over(state: Any) -> Any:
    return jax.tree.map(jnp.copy, state)


def _call(step: Partial, key: jax.Array, state: Any, data: Data) -> tuple[Any, Any]:
    return step(key, state, data)


_advance = jax.jit(_call, donate_argnums=2)


def chained(algorithm: Algorithm, num_chains: int) -> Algorithm:
    """`num_chains` independent chains as one vmapped algorithm: states gain a leading axis."""

    def init(key, data: Data):
        keys = jax.random.split(key, num_chains)
        return jax.vmap(algorithm.init, (0, None))(keys, data)

    return Algorithm(init, Partial(_chained_step, algorithm.step))


def _chained_step(step: Partial, key, state, data: Data):
    keys = jax.random.split(key, state.params.mu.shape[0])
    return jax.vmap(step, (0, 0, None))(keys, state, data)


def run(
    algorithm: Algorithm,
    seed: int,
    data: Data,
    schedule: Schedule,
    heldout: Ratings | None = None,
    validation: Ratings | None = None,
    name: str = "inference",
    on_step: Callable[[int, int], None] = lambda step, total: None,
) -> Run:
    """Run an algorithm to the end of its schedule.

    `heldout` ratings are watched only; `validation` ratings judge when patience is at its end.
    `on_step(step, total)` is told of every step. Raises `NotFiniteError` naming the step, the seed
    and the quantity that is NaN or infinite.
    """
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    algorithm = chained(algorithm, schedule.num_chains) if schedule.average else algorithm
    # Steps donate their state, and a first state may share the caller's arrays.
    state = _start_over(algorithm.init(key_init, data))
    begin = time.perf_counter()
    _advance.lower(algorithm.step, key_steps, state, data).compile()
    compile_seconds = time.perf_counter() - begin

    watch = _Watch(schedule, heldout, validation, float(jnp.sum(data.user_count, dtype=float)))
    seconds, total = 0.0, schedule.total_steps
    for step in range(1, total + 1):
        begin = time.perf_counter()
        key = jax.random.fold_in(key_steps, step)
        state, info = _advance(algorithm.step, key, state, data)
        info = jax.device_get(info)
        seconds += time.perf_counter() - begin
        _check_finite(info, name, step, seed)
        watch.see(step, seconds, state, float(np.mean(info.log_posterior)))
        on_step(step, total)
        if watch.stopped:
            break
    return watch.result(state, compile_seconds)


def _check_finite(info: Any, name: str, step: int, seed: int) -> None:
    for field, value in info._asdict().items():
        if not np.all(np.isfinite(value)):
            raise NotFiniteError(
                f"{name}: {field} is {value} after step {step} (seed {seed}); a stronger prior "
                "or a smaller learning rate may help"
            )


class _Watch:
    """Sees each state: keeps draws, records, the best step, and the reason to stop."""

    def __init__(
        self, schedule: Schedule, heldout: Ratings | None, validation: Ratings | None, n: float
    ):
        self.schedule, self.heldout, self.validation, self.n = schedule, heldout, validation, n
        self.records: list[Record] = []
        self.kept: list[tuple[Params, np.ndarray]] = []
        self.moments: Moments | None = None  # of the held-out pairs
        self.best: tuple[float, Any, Moments | None] | None = None
        self.calm, self.best_step, self.stopped = 0, 0, ""  # best_step 0: the last one

    def see(self, step: int, seconds: float, state: Any, log_posterior: float) -> None:
        draws, noise = _as_draws(state)
        keep = self.schedule.average and self.schedule.keeps(step)
        if keep and self.schedule.store_draws:
            self.kept.append(fetched((draws, noise)))
        rmse = self._heldout_rmse(draws, noise, averaged=keep)
        previous = self.records[-1].log_posterior if self.records else np.inf
        self.records.append(Record(step, seconds, log_posterior, rmse))
        if not self.schedule.average:
            self._judge(step, draws, log_posterior, previous, state)

    def _heldout_rmse(self, draws: Params, noise, averaged: bool) -> float:
        if self.heldout is None:
            return float("nan")
        user, item, value = self.heldout
        empty = no_moments(len(value), noise.dtype)
        so_far = self.moments if averaged and self.moments is not None else empty
        moments = observe(so_far, draws, noise, user, item)
        if averaged or not self.schedule.average:
            self.moments = moments
        elif self.moments is not None:
            moments = self.moments  # a sweep between two kept draws
        return float(jnp.sqrt(jnp.mean((moments.mean - value) ** 2)))

    def _judge(self, step: int, draws, log_posterior: float, previous: float, state) -> None:
        change = abs(log_posterior - previous) / max(abs(log_posterior), self.n)
        self.calm = self.calm + 1 if change <= self.schedule.tolerance else 0
        if self.schedule.tolerance and self.calm >= CALM_STEPS:
            self.stopped = f"log posterior changed by less than {self.schedule.tolerance:g}"
        if self.schedule.patience is not None and self.validation is not None:
            user, item, value = self.validation
            zero = np.zeros(1, draws.mu.dtype)
            moments = observe(no_moments(len(value), zero.dtype), draws, zero, user, item)
            rmse = float(jnp.sqrt(jnp.mean((moments.mean - value) ** 2)))
            if self.best is None or rmse < self.best[0]:
                self.best = rmse, fetched(state), self.moments
                self.best_step = step
            elif step - self.best_step >= self.schedule.patience:
                self.stopped = f"validation RMSE was best at step {self.best_step}"

    def result(self, state: Any, compile_seconds: float) -> Run:
        if self.best is not None:
            _, state, self.moments = self.best
        last = fetched(_as_draws(state))
        if self.schedule.average:  # without stored draws, a stack of none
            last = jax.tree.map(lambda x: x[:0], last)
        draws, noise = jax.tree.map(lambda *x: np.concatenate(x), last, *self.kept)
        heldout = summarise(self.moments) if self.moments is not None else None
        stopped = self.stopped or f"all {len(self.records)} steps taken"
        prior = fetched(state.prior)
        fields = prior, self.records, self._log_posterior(), heldout, compile_seconds, stopped
        return Run(draws, noise, *fields)

    def _log_posterior(self) -> float:
        if self.schedule.average:
            kept = [record for record in self.records if self.schedule.keeps(record.step)]
            return float(np.mean([record.log_posterior for record in kept]))
        return self.records[self.best_step - 1].log_posterior


def _as_draws(state: Any) -> tuple[Params, jax.Array]:
    """The state's parameters and 1/tau with a leading axis: chains, or 1."""
    noise = 1 / state.prior.tau
    if state.params.mu.ndim:
        return state.params, noise
    return jax.tree.map(lambda x: x[None], state.params), noise[None]
