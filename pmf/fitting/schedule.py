"""The progress of a run, and the reason to stop: schedule, records, draws, the best step."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pmf.inference.base import AnyState, HostForm
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.model.predictive import Moments, no_moments, observe
from pmf.process.programs import FEW, program
from pmf.types import Array, Params, Prior, Ratings

CALM_STEPS = 3  # an oscillating optimizer may stand still for one step by chance
Draws = tuple[Params, Prior]  # stacks of parameters, and of the prior each was drawn under
ON_ONE_DEVICE = HostForm(jax.device_get, lambda state: state)


@dataclass(frozen=True)
class Schedule:
    """How long to run and what to keep.

    A point method takes `num_steps` steps and keeps the last. A sampler (`average`) discards
    `burn_in` sweeps, then keeps every `thin`-th until it has `num_steps` draws per chain.

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


class Best(NamedTuple):
    """The step with the least validation RMSE, and its state on the host; 0 before the first."""

    rmse: float
    step: int
    state: AnyState
    moments: Moments | None


@dataclass
class Progress:
    """The state of a run between two steps. A checkpoint holds all of it."""

    key: jax.Array  # every step folds its number in
    state: AnyState
    moments: Moments | None  # of the held-out pairs over kept draws; None without such pairs
    best: Best | None  # None without patience
    records: list[Record] = field(default_factory=list)
    draws: list[Draws] = field(default_factory=list)
    calm: int = 0  # steps in a row that changed little
    stopped: str = ""
    saved: int = 0  # how many of `draws` are in the checkpoint folder

    @property
    def step(self) -> int:
        return len(self.records)

    @property
    def seconds(self) -> float:
        return self.records[-1].seconds if self.records else 0.0


class Monitor(NamedTuple):
    """Sees each state: keeps draws, records, the best step, and the reason to stop."""

    schedule: Schedule
    heldout: Ratings | None
    validation: Ratings | None
    n: float  # training ratings
    form: HostForm = ON_ONE_DEVICE
    likelihood: Likelihood = GAUSSIAN
    context: Array | None = None  # of each held-out rating, where they are given in contexts

    def begin(self, key: jax.Array, state: AnyState) -> Progress:
        """Before the first step."""
        dtype = state.prior.tau.dtype
        moments = None if self.heldout is None else no_moments(len(self.heldout.value), dtype)
        best = None
        if self.schedule.patience is not None and self.validation is not None:
            best = Best(np.inf, 0, self.form.to_host(state), moments)
        return Progress(key, state, moments, best)

    def see(self, progress: Progress, seconds: float, log_posterior: float) -> None:
        """After a step. Without ratings to predict and draws to keep it leaves the state alone."""
        step = progress.step + 1
        keep = self.schedule.average and self.schedule.keeps(step)
        if keep and self.schedule.store_draws:
            progress.draws.append(as_draws(self.form.to_host(progress.state)))
        rmse = self._heldout_rmse(progress, averaged=keep)
        previous = progress.records[-1].log_posterior if progress.records else np.inf
        progress.records.append(Record(step, seconds, log_posterior, rmse))
        if not self.schedule.average:
            self._judge(progress, previous)

    def _heldout_rmse(self, progress: Progress, averaged: bool) -> float:
        if self.heldout is None or progress.moments is None:
            return float("nan")
        user, item, value = self.heldout
        draws, prior = as_draws(progress.state)
        noise = self.likelihood.variance(prior.tau)
        so_far = progress.moments if averaged else no_moments(len(value), noise.dtype)
        moments = observe(so_far, draws, noise, user, item, self.context)
        if averaged or not self.schedule.average:
            progress.moments = moments
        elif progress.moments.seen > 0:
            moments = progress.moments  # a sweep between two kept draws
        return float(jnp.sqrt(jnp.mean((moments.mean - value) ** 2)))

    def _judge(self, progress: Progress, previous: float) -> None:
        step, log_posterior = progress.step, progress.records[-1].log_posterior
        change = abs(log_posterior - previous) / max(abs(log_posterior), self.n)
        progress.calm = progress.calm + 1 if change <= self.schedule.tolerance else 0
        if self.schedule.tolerance and progress.calm >= CALM_STEPS:
            progress.stopped = f"log posterior changed by less than {self.schedule.tolerance:g}"
        best = progress.best
        if best is not None and self.validation is not None:
            rmse = self._validation_rmse(progress, self.validation)
            if best.step == 0 or rmse < best.rmse:
                state = self.form.to_host(progress.state)
                progress.best = Best(rmse, step, state, progress.moments)
            elif step - best.step >= (self.schedule.patience or 0):
                progress.stopped = f"validation RMSE was best at step {best.step}"

    def _validation_rmse(self, progress: Progress, validation: Ratings) -> float:
        if validation is self.heldout:  # predicted already
            return progress.records[-1].heldout_rmse
        user, item, value = validation
        draws, _ = as_draws(progress.state)
        zero = jnp.zeros(1, draws.mu.dtype)
        moments = observe(no_moments(len(value), zero.dtype), draws, zero, user, item)
        return float(jnp.sqrt(jnp.mean((moments.mean - value) ** 2)))


def as_draws(state: AnyState) -> Draws:
    """The state's parameters and prior with a leading axis: chains, or 1.

    A prior's weight per row is left out: it is that of a row with one rating.
    """
    params, prior = state.params, state.prior
    one = np.ones(np.shape(prior.tau), prior.tau.dtype)
    user, item = (side._replace(weight=one) for side in (prior.user, prior.item))
    draws = params, prior._replace(user=user, item=item)
    if params.mu.ndim:
        return draws
    return _stacked(draws) if isinstance(params.mu, jax.Array) else _alone(draws)


def _alone(draws: Draws) -> Draws:
    """A stack of one."""
    stack: Draws = jax.tree.map(lambda x: x[None], draws)
    return stack


_stacked = program(_alone, FEW)
