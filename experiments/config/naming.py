"""What of a configuration a run's identity names, such that a new setting changes no identity.

A setting that is on the list `ALWAYS` is named with whatever value it has. One that came later is
named only where its value is another than the one it came with: runs that were made before there
was a choice have that value. So nothing is ever added to `ALWAYS`.
"""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

ALWAYS = {
    name: set(words.split())
    for name, words in {
        "RunConfig": "data system arm split model tuning ranking",
        "SplitConfig": "kind seed fraction partitions file fold n users given keep",
        "TuningConfig": "trials fraction seed",
        "RankingConfig": "k relevant",
        "FlatSettings": """
            rank user_bias item_bias mu scale clip duplicates method num_steps seed
            fused devices prior tolerance optimizer learning_rate batch_size on_disk
            validation patience tau hyperprior burn_in thin num_chains store_draws
        """,
        "ContentSettings": "mu scale clip duplicates seed fused prior",
        "HybridSettings": """
            rank user_bias item_bias mu scale clip duplicates num_steps tolerance
            seed fused prior regression
        """,
        "IsotropicPrior": """
            tau user_factor item_factor user_bias item_bias user_exponent
            item_exponent
        """,
        "PeerSettings": "rival options seed timeout",
        "SweepSettings": "method ratings rank threads repeat",
    }.items()
}
# What a later setting came with, where its default is another by now.
CAME_WITH: dict[tuple[str, str], Any] = {}


def named(settings: Any) -> Any:
    """Settings as a tree of JSON's types: all that an identity names."""
    if not isinstance(settings, BaseModel) and not is_dataclass(settings):
        return to_jsonable_python(settings)
    kind = type(settings).__name__
    always = ALWAYS.get(kind, set())
    names = {}
    for name, default in _fields(settings):
        value = getattr(settings, name)
        if name in always or value != CAME_WITH.get((kind, name), default):
            names[name] = named(value)
    return names


def _fields(settings: Any) -> Iterator[tuple[str, Any]]:
    """The names and defaults of a model's or a dataclass's fields."""
    if isinstance(settings, BaseModel):
        for name, field in type(settings).model_fields.items():
            default = field.get_default(call_default_factory=True)
            yield name, _Required if default is PydanticUndefined else default
        return
    for field in fields(settings):
        yield field.name, _Required if field.default is MISSING else field.default


class _Required:
    """The default of a setting that has none, equal to no value."""
