"""The rating precision tau of Gibbs, chosen by short chains."""

from dataclasses import replace

from pmf.data.values import mean_and_std
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import (
    LEAST_GAIN,
    Judged,
    Problem,
    Search,
    holdouts,
    log_of,
    stage_of,
    subsampled,
    tried,
)
from pmf.inference.gibbs import Hyperprior, gibbs

HELD_OUT = 0.1  # the share of the training ratings that judges a tau
MOST_RATINGS = 1_000_000  # of more, those of random users judge it
SCHEDULE = Schedule(num_steps=40, average=True, burn_in=30, store_draws=False)
RATIO = 1.25  # between candidates, in units of the ratings' own precision
START = 2


def choose_tau(problem: Problem, hyperprior: Hyperprior, num_chains: int) -> tuple[float, Search]:
    """The rating precision with the least held-out RMSE of short Gibbs runs.

    A downhill search over multiples of the ratings' own precision, from 1 on: noise cannot vary
    more than what it is a part of, which RMSE would not say where nothing can be predicted. tau is
    not simply learnt because the Gaussian likelihood is misspecified for star ratings: a smaller
    tau than the learnt one predicts better (and its intervals cover more than they claim).
    """
    parts = holdouts(subsampled(problem, MOST_RATINGS), HELD_OUT)
    schedule = replace(SCHEDULE, num_chains=num_chains)
    variance = mean_and_std(problem.ratings.value)[1] ** 2 or 1.0
    seen: dict[int, Judged] = {}

    def loss(j: int) -> float:
        if j not in seen:
            tau = RATIO**j / variance
            sampler = gibbs(hyperprior, problem.terms, problem.mu, tau)
            stage = stage_of(f"candidate {len(seen) + 1}")
            seen[j] = tried({"tau": tau}, [sampler], problem, parts, schedule, stage)
        return seen[j].trial.rmse

    best = START
    for direction in (1, -1):
        while best + direction >= 0 and (
            loss(best + direction) < loss(best) - LEAST_GAIN * variance**0.5
        ):
            best += direction
    chosen = seen[best].trial.value
    return chosen["tau"], Search(dict(chosen), log_of(list(seen.values())))
