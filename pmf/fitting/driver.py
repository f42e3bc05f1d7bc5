"""The one driver: runs any algorithm, measures time, stops, and resumes from checkpoints."""

import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from pmf.errors import Interrupted, NotFiniteError
from pmf.fitting.checkpoint import CheckpointFolder, on_all
from pmf.fitting.phases import SWEEPS, Clock
from pmf.fitting.schedule import ON_ONE_DEVICE, Best, Monitor, Progress, Record, Schedule, as_draws
from pmf.inference.base import Algorithm, AnyInfo, AnyState, HostForm, Step
from pmf.inference.layout import Data
from pmf.io.pytrees import digest_of
from pmf.model.likelihood import GAUSSIAN, Likelihood
from pmf.model.predictive import Prediction, summarise
from pmf.process.programs import FEW, forget, program
from pmf.process.signals import Caught, signals_noted
from pmf.types import Params, Prior, Ratings


class Run(NamedTuple):
    """The result of a run. A point method's one "draw" is its estimate."""

    draws: Params  # fields have a leading axis (s,)
    prior: Prior  # that each draw was made under: its fields have the same axis
    records: list[Record]
    log_posterior: float  # of the estimate; a sampler's mean over kept sweeps
    heldout: Prediction | None  # of the held-out pairs, over all kept draws
    compile_seconds: float
    stopped: str
    likelihood: Likelihood = GAUSSIAN

    def __repr__(self) -> str:
        steps, density = len(self.records), self.log_posterior
        return f"Run({steps} steps: {self.stopped}; log posterior {density:.6g})"

    @property
    def noise_variance(self) -> np.ndarray:
        """(s,): of a rating given each draw."""
        return np.asarray(self.likelihood.variance(np.asarray(self.prior.tau)))


def _copies(state: Any) -> Any:
    return jax.tree.map(jnp.copy, state)


def _summed(counts: jax.Array) -> jax.Array:
    return jnp.sum(counts, dtype=float)


copied, _total = program(_copies, FEW), program(_summed, FEW)


def _call(step: Step, key: jax.Array, state: Any, data: Data) -> tuple[AnyState, AnyInfo]:
    return step(key, state, data)


# Unused arguments too: ALS never reads the rows that it is about to replace, but their memory
# becomes the new rows.
_advance = program(_call, FEW, donate_argnums=2, keep_unused=True)


class _Lowered(Protocol):
    """What a step compiles to: one program, or several with the face of one."""

    def compile(self) -> object: ...

    def as_text(self) -> str: ...


@runtime_checkable
class _Lowerable(Step, Protocol):
    """A step that can be compiled beforehand."""

    def lower(self, key: jax.Array, state: Any, data: Data) -> _Lowered: ...


class _Traced(NamedTuple):
    """A step that is traced as a whole, as one program."""

    step: Step

    def __call__(self, key: jax.Array, state: Any, data: Data) -> tuple[AnyState, AnyInfo]:
        return _advance(self.step, key, state, data)

    def lower(self, key: jax.Array, state: Any, data: Data) -> jax.stages.Lowered:
        return _advance.lower(self.step, key, state, data)


def program_of(step: Step) -> _Lowerable:
    """The step as something to compile beforehand, and call."""
    return step if isinstance(step, _Lowerable) else _Traced(step)


def stepped(
    advance: Step, key: jax.Array, state: Any, data: Data
) -> tuple[AnyState, AnyInfo, float]:
    """One step, what it tells on the host, and its seconds."""
    begin = time.perf_counter()
    state, info = advance(key, state, data)
    info = jax.device_get(info)
    return state, info, time.perf_counter() - begin


def chained(algorithm: Algorithm, num_chains: int) -> Algorithm:
    """`num_chains` independent chains as one vmapped algorithm: states gain a leading axis."""

    def init(key: jax.Array, data: Data) -> AnyState:
        keys = jax.random.split(key, num_chains)
        return jax.vmap(algorithm.init, (0, None))(keys, data)

    return algorithm._replace(init=init, step=Partial(_chained_step, algorithm.step))


def _chained_step(
    step: Step, key: jax.Array, state: AnyState, data: Data
) -> tuple[AnyState, AnyInfo]:
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
    folder: CheckpointFolder | None = None,
    on_record: Callable[[Record], None] = lambda record: None,
    clock: Clock | None = None,
    start: Params | None = None,
    context: np.ndarray | None = None,
    form: HostForm = ON_ONE_DEVICE,
) -> Run:
    """Run an algorithm to the end of its schedule.

    `heldout` ratings are watched only, each in its `context` where they are given in contexts;
    `validation` ratings judge when patience is at its end.
    With a checkpoint `folder` the run goes on from what it finds there, bit for bit as if it had
    never stopped. `on_record` is told of each step before its checkpoint. `clock` times the run,
    and tells of its phases, steps by `name`. It begins from the parameters `start`, on the host,
    where they are given. `form` is how a state comes to the host, and what leaves the run. Raises
    `NotFiniteError` naming the step, the seed and the quantity that is NaN or infinite, and with a
    `folder`, in the main thread, `Interrupted` after SIGINT or SIGTERM and a checkpoint.
    """
    forget()
    clock = clock or Clock()
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    algorithm = chained(algorithm, schedule.num_chains) if schedule.average else algorithm
    with clock.phase("compilation"):  # of the first state too
        # Steps donate their state, and a first state may share the caller's arrays.
        state = copied(_started(algorithm.init(key_init, data), start, form))
        n = float(_total(data.user_count))
        monitor = Monitor(schedule, heldout, validation, n, form, algorithm.likelihood, context)
        progress = monitor.begin(key_steps, state)
        begin = time.perf_counter()
        advance = program_of(algorithm.step)
        program = advance.lower(key_steps, state, data)
        if folder is not None:  # another run's checkpoints are refused before the long compilation
            progress = _resumed(progress, folder, _digest(program, form), form)
        program.compile()
        compile_seconds = time.perf_counter() - begin
    clock.resume(progress.seconds)

    total = schedule.total_steps
    clock.on_step(name, progress.step, total)
    with nullcontext(Caught()) if folder is None else signals_noted() as caught:
        while progress.step < total and not progress.stopped:
            step = progress.step + 1
            key = jax.random.fold_in(progress.key, step)
            progress.state, info, seconds = stepped(advance, key, progress.state, data)
            clock.add(SWEEPS, seconds)
            check_finite(info, name, step, seed)
            monitor.see(progress, progress.seconds + seconds, float(np.mean(info.log_posterior)))
            on_record(progress.records[-1])
            clock.on_step(name, progress.step, total)
            if folder is not None:
                _keep(progress, folder, caught, name, form)
    return _result(schedule, progress, compile_seconds, form, algorithm.likelihood)


def _started(state: AnyState, params: Params | None, form: HostForm) -> AnyState:
    """A first state, at other parameters if they are given."""
    if params is None:
        return state
    host: Any = form.to_host(state)
    return form.from_host(host._replace(params=params._replace(mu=host.params.mu)))


def _digest(program: _Lowered, form: HostForm) -> str | None:
    """Of the compiled step; None on a mesh, whose programs differ with the number of devices."""
    if form is not ON_ONE_DEVICE:
        return None
    return digest_of(program.as_text().encode())


def _keep(
    progress: Progress, folder: CheckpointFolder, caught: Caught, name: str, form: HostForm
) -> None:
    """A checkpoint if one is due, or a signal came: then it is the last thing done."""
    # Asked once: a signal that comes from here on waits for the next step. A number of none is 1.
    request = on_all(caught.signum or int(folder.due(progress.step)))
    signum = request if request > 1 else None
    if request:
        best = progress.best
        facts = {
            "records": progress.records,
            "calm": progress.calm,
            "stopped": progress.stopped,
            "best": [best.rmse, best.step] if best else None,
        }
        folder.save(progress.step, _arrays(progress, form), facts, progress.draws[progress.saved :])
        progress.saved = len(progress.draws)
    if signum:
        raise Interrupted(
            f"{name}: stopped by {signal.Signals(signum).name} after step {progress.step}; resume "
            f"from the checkpoint in {folder.path}",
            signum,
        )


def check_finite(info: Any, name: str, step: int, seed: int) -> None:
    for field, value in info._asdict().items():
        if not np.all(np.isfinite(value)):
            raise NotFiniteError(
                f"{name}: {field} is {value} after step {step} (seed {seed}); a stronger prior "
                "or a smaller learning rate may help"
            )


def _arrays(progress: Progress, form: HostForm) -> Any:
    best, state = progress.best, form.to_host(progress.state)
    return progress.key, state, progress.moments, best and (best.state, best.moments)


def _resumed(
    progress: Progress, folder: CheckpointFolder, program: str | None, form: HostForm
) -> Progress:
    """The progress that the folder's newest checkpoint holds; `progress` itself without one."""
    like = _arrays(progress, form)
    saved = folder.load(program, like, as_draws(like[1]))
    if saved is None:
        return progress
    key, state, moments, best = saved.arrays
    facts = saved.facts
    return Progress(
        key,
        copied(form.from_host(state)),
        moments,
        best and Best(*facts["best"], *best),
        [Record(*record) for record in facts["records"]],
        saved.draws,
        facts["calm"],
        facts["stopped"],
        saved=len(saved.draws),
    )


def _result(
    schedule: Schedule,
    progress: Progress,
    compile_seconds: float,
    form: HostForm,
    likelihood: Likelihood,
) -> Run:
    records, best = progress.records, progress.best
    state = best.state if best else form.to_host(progress.state)
    moments = best.moments if best else progress.moments
    last = as_draws(state)
    estimates = [records[best.step - 1 if best else -1]]
    if schedule.average:  # without stored draws, a stack of none
        last = jax.tree.map(lambda x: x[:0], last)
        estimates = [record for record in records if schedule.keeps(record.step)]
    draws, prior = jax.tree.map(lambda *x: np.concatenate(x), last, *progress.draws)
    return Run(
        draws,
        prior,
        records,
        float(np.mean([record.log_posterior for record in estimates])),
        summarise(moments) if moments is not None else None,
        compile_seconds,
        progress.stopped or f"all {len(records)} steps taken",
        likelihood,
    )
