"""The command `pmf fit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmf.cli.console import SetOrFile
from pmf.cli.settings import (
    Clip,
    Further,
    MethodOption,
    PriorWords,
    Scale,
    Steps,
    Tau,
    further_of,
    prior_of,
    tau_of,
)
from pmf.data.choices import Duplicates
from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.errors import InputError
from pmf.fitting.phases import phases_in_words
from pmf.fitting.registry import DEFAULT
from pmf.io.atomic import check_target
from pmf.process.limits import check_memory

if TYPE_CHECKING:
    from pmf.estimators.pmf import PMF


def fit(
    train: Annotated[str, typer.Argument(help=SetOrFile[:-1] + ", or a folder of Parquet files.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The model file to write.")],
    method: MethodOption = DEFAULT,
    rank: Annotated[
        int, typer.Option(metavar="N", help="Width of the factors; 0 for biases only.")
    ] = 16,
    steps: Steps = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of every random choice.")] = 0,
    devices: Annotated[
        str, typer.Option(metavar="N|all", help="Devices over which the rows are sharded.")
    ] = "1",
    user_bias: Annotated[bool, typer.Option(help="A bias for each user.")] = True,
    item_bias: Annotated[bool, typer.Option(help="A bias for each item.")] = True,
    scale: Scale = None,
    clip: Clip = False,
    tau: Tau = None,
    prior: PriorWords = None,
    further: Further = None,
    on_disk: Annotated[
        bool, typer.Option("--on-disk", help="Ratings stay in files (map, from Parquet).")
    ] = False,
    duplicates: Annotated[
        Duplicates,
        typer.Option(help="If a user rates an item twice: refuse, or take the last or the mean."),
    ] = "error",
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write checkpoints there, to resume a stopped fit."),
    ] = None,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --checkpoints: also write one after every N steps."),
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(metavar="M", help="With --checkpoints: write one every M minutes.")
    ] = 5.0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume from the newest checkpoint, if there is one."),
    ] = False,
    reading: Reading = AS_IT_IS,
) -> None:
    """Fit a model and write it to a file.

    With --checkpoints, SIGINT and SIGTERM end the fit after the step and a checkpoint.
    """
    check_memory()
    from pmf.data.sources.base import files_of
    from pmf.estimators.pmf import PMF
    from pmf.fitting.checkpoint import Checkpoints
    from pmf.fitting.progress import progress_bar

    check_target(out, reads=files_of(train))
    checkpointing = None
    if checkpoints is not None:
        checkpointing = Checkpoints(
            checkpoints, checkpoint_steps, checkpoint_minutes, resume=resume
        )
    elif resume or checkpoint_steps:
        raise InputError("--resume and --checkpoint-steps need --checkpoints FOLDER")
    settings: dict[str, Any] = {
        "rank": rank,
        "method": method,
        "num_steps": steps,
        "seed": seed,
        "devices": int(devices) if devices.isdecimal() else devices,
        "user_bias": user_bias,
        "item_bias": item_bias,
        "scale": scale,
        "clip": clip,
        "tau": None if tau is None else tau_of(tau),
        "prior": None if prior is None else prior_of(prior),
        "on_disk": on_disk or None,
        "duplicates": duplicates,
    }
    options = {name: value for name, value in settings.items() if value is not None}
    model = PMF(**options, **further_of(further or [], settings))
    with progress_bar() as on_step:
        model.fit(train, on_step=on_step, checkpoints=checkpointing, reading=reading)
    model.save(out)
    _show(model)
    print(f"model written to {out}")


def _show(model: "PMF") -> None:
    """How a fit went, in some lines."""
    fitted, settings = model.require_fitted(), model.settings
    result, size = fitted.fit, f"{fitted.user_count.sum():,} ratings"
    print(f"{settings.method}, rank {settings.rank}, {size}: {result.run.stopped}")
    steps = "sweeps" if settings.inference.by_rows else "steps"
    print(phases_in_words(model.phases, f"{len(model.records)} {steps}"))
    if result.search.trials:
        chosen = ", ".join(f"{name} {value:.4g}" for name, value in result.search.chosen.items())
        print(f"prior chosen on held-out training ratings: {chosen}")
    print(f"log posterior {model.log_posterior():.6g}")
