"""What an inference is: settings with their defaults, and what is made of them.

A class names its settings, its algorithm, its schedule, the layout of ratings that it works on, and
what is chosen for it on held-out training ratings; a line of `pmf.fitting.registry` makes it known
everywhere.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationError

from pmf.errors import InputError, hint
from pmf.fitting.prior_search import Choice
from pmf.fitting.registry import INFERENCES, LABELS, inference_named, owners_of
from pmf.fitting.schedule import Schedule
from pmf.fitting.search import Problem
from pmf.fitting.settings_base import CONFIG, describe
from pmf.inference.base import Algorithm
from pmf.inference.layout import Data, by_rows
from pmf.model.priors import AnyPrior, IsotropicPrior
from pmf.types import Ratings, Terms

PriorSetting = IsotropicPrior | Literal["auto"]  # auto: chosen on held-out training ratings


class Inference(BaseModel):
    """The settings of one inference, and what its name stands for. Mistakes are `InputError`s.

    Within, ratings are standardised, and their global mean is 0.
    """

    model_config = CONFIG

    name: ClassVar[str]
    noise_source: ClassVar[str] = "training residuals"  # of the variance of a single rating
    learns_noise: ClassVar[bool] = False  # it is 1/tau of each draw
    integrates: ClassVar[bool] = (
        False  # what it records is a bound on log p(R), rows integrated out
    )
    averages: ClassVar[bool] = False  # a prediction averages draws; else there is one estimate
    by_rows: ClassVar[bool] = True  # whether its layout is rows, or flat ratings
    takes_features: ClassVar[bool] = False  # whether rows' prior means may depend on given features
    open_setting: ClassVar[str | None] = "prior"  # what its prior search fills in

    num_steps: Annotated[int, Field(ge=1)]

    if not TYPE_CHECKING:  # a checker sees the fields

        def __init__(self, **values: Any):
            for setting in values:
                check_is_of(type(self), setting)
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InputError("; ".join(describe(error, type(self)).values())) from error

    @property
    def schedule(self) -> Schedule:
        """How long to run, and what to keep."""
        raise NotImplementedError

    @property
    def given_prior(self) -> AnyPrior | None:
        """The prior that the settings give, in the ratings' own unit; None: it is chosen."""
        raise NotImplementedError

    def choose(self, problem: Problem) -> Choice:
        """The prior with the least error on held-out training ratings."""
        raise NotImplementedError

    def algorithm(self, prior: Any, terms: Terms, num_ratings: int) -> Callable[[Data], Algorithm]:
        """The algorithm under a prior of its kind."""
        raise NotImplementedError

    def layout(self, ratings: Ratings, num_users: int, num_items: int, rank: int) -> Data:
        """Ratings as it works on them, on one device."""
        return by_rows(ratings, num_users, num_items, rank, fused=self.kernel)

    @property
    def kernel(self) -> bool | None:
        """Whether by the fused CPU kernel; None: where it is available."""
        return None

    @property
    def implicit_sides(self) -> tuple[str, ...]:
        """The sides whose rows' prior means depend on what they rated, or were rated by."""
        return ()

    @property
    def context_column(self) -> str | None:
        """What the contexts of ratings are, see `pmf.data.contexts`; None: there are none."""
        return None

    @property
    def reads_disk(self) -> bool:
        """Whether the ratings stay in files."""
        return False

    @property
    def needs_one_device(self) -> bool:
        """Whether a setting asks for what is not sharded."""
        return self.reads_disk or bool(self.kernel)

    @property
    def validation_share(self) -> float:
        """The share of the training ratings that stops a run early."""
        return 0.0

    def check_can_run(self) -> None:
        """Raise `InputError` where a setting was lost on its way through a file."""

    def short(self) -> dict[str, Any]:
        """The settings that one candidate of many is judged with, where they are others."""
        return {}


class ByRows(Inference):
    """What ALS, Gibbs and VB share: rows are updated, by the fused kernel where it can run."""

    fused: bool | None = None
    """The CPU kernel; None: where it is available."""

    @property
    def kernel(self) -> bool | None:
        return self.fused


class Mode(Inference):
    """What ALS and MAP share: one estimate, under an isotropic prior."""

    prior: PriorSetting = "auto"
    """Precisions; "auto": chosen on held-out training ratings."""
    tolerance: Annotated[float, Field(ge=0)]
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the training ratings that stops a run early."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Steps without improvement on it."""

    @property
    def schedule(self) -> Schedule:
        patience = self.patience if self.validation else None
        return Schedule(self.num_steps, tolerance=self.tolerance, patience=patience)

    @property
    def given_prior(self) -> IsotropicPrior | None:
        return None if self.prior == "auto" else self.prior

    @property
    def validation_share(self) -> float:
        return self.validation


def check_is_of(kind: type[Inference], name: str, also: Sequence[str] = ()) -> None:
    """Raise `InputError` where an inference has no setting of this name, nor is it among `also`.

    It says whose it is, or the nearest name.
    """
    known = [*also, *kind.model_fields]
    if name in known:
        return
    if owners := owners_of(name):
        *labels, last = (LABELS[owner] for owner in owners)
        whose = f"{', '.join(labels)} and {last}" if labels else last
        raise InputError(f"{name}: a setting of {whose}, not of {LABELS[kind.name]}")
    others = [field for other in INFERENCES for field in inference_named(other).model_fields]
    raise InputError(f"{name}: unknown setting; {hint(name, known, others)}")
