"""Any model from its file."""

from pathlib import Path

from pmf.errors import InputError, one_line
from pmf.estimators import model_file
from pmf.estimators.base import Model
from pmf.estimators.content import Content
from pmf.estimators.hybrid import Hybrid
from pmf.estimators.new_users import Folded
from pmf.estimators.pmf import PMF
from pmf.fitting.settings import ContentSettings, HybridSettings, Settings

KINDS: dict[str, type[Model]] = {kind.__name__: kind for kind in (PMF, Content, Hybrid, Folded)}
SETTINGS = {"PMF": Settings, "Content": ContentSettings, "Hybrid": HybridSettings}


def load(path: str | Path) -> Model:
    """A model that `save` wrote, of the kind that was saved, ready to predict.

    Raises `InputError` where the file is missing, damaged, or of another format or version.
    """
    saved = model_file.load(Path(path))
    try:
        if not isinstance(saved.settings, SETTINGS.get(saved.kind, object)):
            raise ValueError(f"the settings are not those of {saved.kind}")
        return KINDS[saved.kind].of_file(saved)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: damaged content ({one_line(error)})") from error
