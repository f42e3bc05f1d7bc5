"""The experiments of a report, in order: what each asks."""

from typing import NamedTuple


class Section(NamedTuple):
    title: str
    question: str


SECTIONS = {
    "compare": Section(
        "Three inferences on one posterior",
        "Two ways to a mode and a sampler of the whole posterior, at equal rank and with equally "
        "many trials of tuning: who predicts best, and whose intervals hold?",
    ),
    "folds": Section(
        "Fixed folds",
        "The methods with the package's own defaults, on folds that are fixed in a file.",
    ),
    "biases": Section(
        "Biases alone",
        "How far do the mean and the biases go alone?",
    ),
    "noise": Section(
        "The noise",
        "What changes where the noise is learnt instead of chosen?",
    ),
    "vb": Section(
        "Variational Bayes",
        "All precisions learnt and nothing searched, beside ALS and Gibbs by their defaults: how "
        "near to the sampler does it come, and how much of that is a noise of each user's own?",
    ),
    "rivals": Section(
        "Other libraries",
        "The same folds, the same evaluation and equally many trials for each library: who is more "
        "accurate, and at what cost?",
    ),
    "ablation": Section(
        "Which terms carry how much",
        "Each arm lacks terms of the model that the reference has; all are tuned alike.",
    ),
    "priors": Section(
        "How much the prior matters",
        "One ridge from weak to strong, under a constant prior precision and under one that grows "
        "with a row's count, without tuning; and samplers that learn their prior.",
    ),
    "sparsity": Section(
        "Fewer ratings",
        "Training ratings are taken away at random; the held-out ratings stay.",
    ),
    "coldstart": Section(
        "New users",
        "How much do the first few ratings of a person help?",
    ),
    "temporal": Section(
        "The future",
        "Training on the past and predicting the latest ratings, which is what a recommender does.",
    ),
    "content": Section(
        "Content, collaboration, and both",
        "Genres, years and tags against other people's ratings, on items that have some and on "
        "items that have none.",
    ),
    "cold_items": Section(
        "New items",
        "The same where all ratings of a tenth of the items are held out: nobody has rated them.",
    ),
    "scaling": Section(
        "Time and memory",
        "What a sweep costs as ratings, factors and threads grow.",
    ),
    "quickstart": Section(
        "Quick start",
        "One split of the bundled ratings, as the README's first command makes it.",
    ),
}


def section(name: str) -> Section:
    """The section of an experiment; one of its own for an experiment that nobody foresaw."""
    title = name.replace("_", " ").capitalize()
    return SECTIONS.get(name) or Section(title, "")


def in_order(names: list[str]) -> list[str]:
    """The report's order, then the alphabet's."""
    order = {name: j for j, name in enumerate(SECTIONS)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))
