"""The same tasks as jobs of a cluster, by submitit: Slurm's, or processes of this machine."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from experiments.runs.folders import JOBS, MADE, MADE_BY, make
from experiments.sweeps.sweep import Slots
from experiments.sweeps.tasks import Failure, Options, Result, Task, attempt
from pmf.errors import InputError

POLL = 0.5  # seconds between looks at the jobs
DEFAULTS = {"timeout_min": 24 * 60, "cpus_per_task": 4}


class Job(NamedTuple):
    """What a job does. Where its time is up and the cluster requeues it, it goes on."""

    task: Task
    options: Options

    def __call__(self) -> Result:
        return attempt(self.task, self.options, lambda phase, step, total: None)

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self._replace(options=self.options._replace(resume=True)))


@contextmanager
def cluster(kind: str, parameters: list[str], options: Options) -> Iterator[Slots]:
    """Jobs of a cluster ("slurm" or "local") as slots.

    `parameters` are submitit's, as `slurm_partition=gpu` or `timeout_min=120`. Jobs outlive a
    process that is killed; one that is interrupted cancels them, and they leave checkpoints.
    Raises `InputError` where there is no submitit, no such cluster, or no such parameter.
    """
    executor = _executor(kind, parameters, options)
    jobs: dict[int, tuple[Task, Any]] = {}

    def start(slot: int, task: Task) -> None:
        executor.update_parameters(name=f"pmf-{task.key}")
        jobs[slot] = task, executor.submit(Job(task, options))

    def finished() -> list[tuple[int, Result]]:
        time.sleep(POLL)
        done = [slot for slot, (_, job) in jobs.items() if job.done()]
        return [(slot, _result(*jobs.pop(slot))) for slot in done]

    try:
        yield Slots(start, finished)
    finally:
        for _, job in jobs.values():
            job.cancel(check=False)


def _result(task: Task, job: Any) -> Result:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return job.result()
    except (FailedJobError, UncompletedJobError) as error:
        message = f"its job {job.job_id} ended without a result; see {job.paths.stderr}"
        return Failure(task.title, message, str(error))


def _executor(kind: str, parameters: list[str], options: Options) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise InputError("--cluster needs submitit: pip install 'pmf[cluster]'") from error
    submitit_parameters = dict(_parameter(text) for text in parameters)
    make(options.folder / JOBS)
    (options.folder / JOBS / MADE_BY).write_text(MADE)
    try:
        executor = submitit.AutoExecutor(options.folder / JOBS, cluster=kind)
        executor.update_parameters(**DEFAULTS | submitit_parameters)
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        line = " ".join(str(error).split())[:300]
        raise InputError(f"--cluster {kind}: {line or type(error).__name__}") from error
    return executor


def _parameter(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if not value:
        raise InputError(f"--cluster-set {text}: say NAME=VALUE, as in slurm_partition=gpu")
    return name, int(value) if value.isdecimal() else value
