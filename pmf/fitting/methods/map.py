"""The gradient of the log posterior, as `PMF` runs it. Optax is imported when a fit needs it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from pmf.fitting import prior_search
from pmf.fitting.methods.base import Mode
from pmf.fitting.prior_search import Choice
from pmf.fitting.search import Problem
from pmf.inference import optimizers
from pmf.inference.base import Algorithm
from pmf.inference.layout import Data, flat
from pmf.model.priors import IsotropicPrior
from pmf.types import Ratings, Terms

if TYPE_CHECKING:
    import optax

FULL_BATCH = 2_000_000  # ratings up to which "auto" takes the full batch; its gathers must fit
MINI_BATCH = 1 << 16


class MAP(Mode):
    """The gradient of the log posterior by any optimizer: a mode. See `pmf.inference.map`."""

    name: ClassVar[str] = "map"
    by_rows: ClassVar[bool] = False

    num_steps: Annotated[int, Field(ge=1)] = 1000
    """Updates or epochs at the most."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-6
    """The relative change of the log posterior that ends a run."""
    optimizer: Any = "adam"
    """The name of one, with its arguments or without (`pmf.inference.optimizers`), or an optax
    transformation."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """Of an optimizer without its own."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto", "full"] = "auto"
    """Ratings an update; "auto": all of up to 2,000,000, else 65,536."""
    on_disk: bool = False
    """Ratings stay in files and pass through in mini-batches."""

    def choose(self, problem: Problem) -> Choice:
        """By ALS; the factors that it ended at would leave a gradient nothing to do."""
        return prior_search.choose_prior(problem)._replace(start=None)

    def model_post_init(self, context: Any) -> None:
        is_lbfgs = optimizers.is_lbfgs(self.optimizer)
        if is_lbfgs and isinstance(self.batch_size, int):
            raise ValueError(
                "lbfgs searches along a line of the full batch; leave batch_size out, or take adam"
            )
        needs_all = is_lbfgs or self.batch_size == "full"
        if self.on_disk and (needs_all or self.validation):
            raise ValueError("on_disk: map by mini-batches only, and without validation")
        optimizers.check(self.optimizer)

    def algorithm(
        self, prior: IsotropicPrior, terms: Terms, num_ratings: int
    ) -> Callable[[Data], Algorithm]:
        from pmf.inference.map import gradient_map
        from pmf.inference.map_on_disk import streamed_map

        optimizer, size = self._optimizer(), self._batch_size(num_ratings)

        def build(data: Data) -> Algorithm:
            arrays = prior.build(terms, data)
            if self.on_disk:
                return streamed_map(arrays, terms, 0.0, optimizer, size or MINI_BATCH)
            return gradient_map(arrays, terms, 0.0, optimizer, size)

        return build

    def layout(self, ratings: Ratings, num_users: int, num_items: int, rank: int) -> Data:
        from pmf.inference.map_on_disk import on_host

        shape = ratings, num_users, num_items
        return on_host(*shape) if self.on_disk else flat(*shape)

    @property
    def reads_disk(self) -> bool:
        return self.on_disk

    def check_can_run(self) -> None:
        if isinstance(self.optimizer, optimizers.LostOptimizer):
            self.optimizer.init(None)

    def _optimizer(self) -> "optax.GradientTransformation":
        if optimizers.is_spec(self.optimizer):
            return optimizers.build(self.optimizer, self.learning_rate)
        return self.optimizer

    def _batch_size(self, n: int) -> int | None:
        match self.batch_size:
            case "full":
                return None
            case "auto":
                needs_all = optimizers.is_lbfgs(self.optimizer)
                return None if n <= FULL_BATCH or needs_all else MINI_BATCH
            case size:
                return size
