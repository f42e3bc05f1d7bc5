"""The sections of a report, in order: what each experiment asks, and where it belongs.

The page, the article and the docs are all made of them.
"""

from collections.abc import Iterable
from typing import NamedTuple

PARTS = {
    "terms": "Biases, factors, or both",
    "inferences": "Four inferences on one posterior",
    "content": "Content, hybrid, and cold starts",
    "time": "The future",
    "size": "Rank, prior and sparsity",
    "speed": "Speed",
    "more": "Further experiments",
}


class Section(NamedTuple):
    title: str
    question: str
    part: str = "more"  # of `PARTS`
    figures: tuple[str, ...] | None = None  # that the article shows; all of its own where None


SECTIONS = {
    "compare": Section(
        "Three inferences on one posterior",
        "Two ways to a mode and a sampler of the whole posterior, at equal rank and with equally "
        "many trials of tuning: who predicts best, and whose intervals hold?",
        "inferences",
        ("rank", "convergence", "calibration", "pit"),
    ),
    "folds": Section(
        "Fixed folds",
        "The methods with the package's own defaults, on folds that are fixed in a file.",
        "inferences",
        ("strata",),
    ),
    "biases": Section("Biases alone", "How far do the mean and the biases go alone?", "terms", ()),
    "noise": Section(
        "The noise", "What changes where the noise is learnt instead of chosen?", "inferences", ()
    ),
    "row_noise": Section(
        "Whose noise",
        "Gibbs with a noise that all ratings share, and with one of each user's or item's own: "
        "what does it give to know who is noisy?",
        "inferences",
        ("ablation",),
    ),
    "features": Section(
        "What was rated, and when",
        "Gibbs whose rows' prior means know what a user rated, and who rated an item, whatever the "
        "stars, and whose ratings know their day: what does each give, alone and with a noise of "
        "each user's own?",
        "inferences",
        ("ablation",),
    ),
    "features_temporal": Section(
        "What was rated, and when, of the future",
        "The same where the latest fifth of all ratings is predicted from the others: nearly all "
        "its days are new, and many of its users.",
        "inferences",
        ("ablation",),
    ),
    "vb": Section(
        "Variational Bayes",
        "All precisions learnt and nothing searched, beside ALS and Gibbs by their defaults: how "
        "near to the sampler does it come, and how much of that is a noise of each user's own?",
        "inferences",
        (),
    ),
    "rivals": Section(
        "Other libraries",
        "The same folds, the same evaluation and equally many trials for each library: who is more "
        "accurate, and at what cost?",
        "speed",
        ("rivals",),
    ),
    "ablation": Section(
        "Which terms carry how much",
        "Each arm lacks terms of the model that the reference has; all are tuned alike.",
        "terms",
        ("ablation", "variance"),
    ),
    "ablation_small": Section(
        "Where factors add to biases",
        "Both biases, factors and everything with the package's own defaults, held out at random "
        "and as the latest of all, by the length of users' histories: where are biases enough?",
        "terms",
        ("histories",),
    ),
    "ablation_25m": Section(
        "Biases against factors at full size",
        "Ratings in the shape of a large MovieLens set, generated from known biases and factors "
        "unless the data set's name says otherwise: which terms predict, and what of the truth do "
        "they recover?",
        "terms",
        ("recovered",),
    ),
    "priors": Section(
        "How much the prior matters",
        "One ridge from weak to strong, under a constant prior precision and under one that grows "
        "with a row's count, without tuning; and samplers that learn their prior.",
        "size",
        ("priors",),
    ),
    "sparsity": Section(
        "Fewer ratings",
        "Training ratings are taken away at random; the held-out ratings stay.",
        "size",
        ("learning",),
    ),
    "coldstart": Section(
        "New users",
        "How much do the first few ratings of a person help?",
        "content",
        ("coldstart",),
    ),
    "temporal": Section(
        "The future",
        "Training on the past and predicting the latest ratings, which is what a recommender does.",
        "time",
        ("temporal",),
    ),
    "content": Section(
        "Content, collaboration, and both",
        "Genres, years and tags against other people's ratings, on items that have some and on "
        "items that have none.",
        "content",
        ("content",),
    ),
    "cold_items": Section(
        "New items",
        "The same where all ratings of a tenth of the items are held out: nobody has rated them.",
        "content",
        ("content",),
    ),
    "scaling": Section(
        "Time and memory",
        "What a sweep costs as ratings, factors and threads grow.",
        "speed",
        ("scaling",),
    ),
    "quickstart": Section(
        "Quick start",
        "One split of the bundled ratings, as the README's first command makes it.",
        "more",
        (),
    ),
}


def section(name: str) -> Section:
    """The section of an experiment; one of its own for an experiment that nobody foresaw."""
    title = name.replace("_", " ").capitalize()
    return SECTIONS.get(name) or Section(title, "")


def in_order(names: Iterable[str]) -> list[str]:
    """The report's order, then the alphabet's."""
    order = {name: j for j, name in enumerate(SECTIONS)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def in_parts(names: Iterable[str]) -> list[str]:
    """The order of the parts, then that of the report."""
    parts = list(PARTS)
    return sorted(in_order(names), key=lambda name: parts.index(section(name).part))
