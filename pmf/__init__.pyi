"""The public names, and where each is at home: the one list of them."""

from .data.features import item_features as item_features
from .data.frame_features import frame_features as frame_features
from .data.readers.reading import Reading as Reading
from .data.sources.base import load_data as load_data
from .errors import (
    InputError as InputError,
)
from .errors import (
    Interrupted as Interrupted,
)
from .errors import (
    NotFiniteError as NotFiniteError,
)
from .estimators.content import Content as Content
from .estimators.hybrid import Hybrid as Hybrid
from .estimators.load import load as load
from .estimators.new_users import Folded as Folded
from .estimators.new_users import fold_in as fold_in
from .estimators.notices import OverlapWarning as OverlapWarning
from .estimators.notices import UnknownContextWarning as UnknownContextWarning
from .estimators.notices import UnknownIdWarning as UnknownIdWarning
from .estimators.pmf import PMF as PMF
from .evaluate.report import ranked as ranked
from .evaluate.report import report as report
from .fitting.checkpoint import Checkpoints as Checkpoints
from .fitting.methods.als import ALS as ALS
from .fitting.methods.gibbs import Gibbs as Gibbs
from .fitting.methods.map import MAP as MAP
from .fitting.methods.vb import VB as VB
from .model.priors import (
    DiagonalPrior as DiagonalPrior,
)
from .model.priors import (
    IsotropicPrior as IsotropicPrior,
)
from .model.priors import (
    Ridge as Ridge,
)
from .model.priors import (
    als_wr as als_wr,
)
from .model.priors import (
    from_ridge as from_ridge,
)
from .recommendation.ann import index_items as index_items
from .recommendation.lists import recommend as recommend
from .recommendation.lists import similar_items as similar_items

__version__: str
