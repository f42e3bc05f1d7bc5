"""Configurations: TOML in, a grid of resolved runs out. `pmf` itself never sees one.

    about = "What is asked?"        one line for a person
    data = "ml-latest-small"        a data set's name, or a file of ratings, from this file's folder
    [reading]                       how that file is read: `pmf.Reading` without its columns
    [columns]                       the names of its columns user, item, rating, timestamp
    unit = "points"                 what ratings are counted in, for axes (default: as the data set)
    system = "pmf"                  a name of `experiments.systems.registry`, or FILE.py:NAME
    [split]                         `SplitConfig`
    [model]                         the system's settings; of "pmf", `pmf.fitting.settings.Settings`
    [tuning]                        `TuningConfig`; without it nothing is searched here
    [ranking]                       `RankingConfig`; with it each run also ranks all items
    [comparison]                    `config.comparison`: which arms the others are compared with
    [arm.NAME]                      settings merged over [model]; each arm runs over the whole grid

A list is expanded into a grid wherever it stands.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.config import document
from experiments.config.comparison import Compared, ComparisonConfig, check_arms, check_lists
from experiments.config.document import Tree
from experiments.config.grid import Axes, axes_of, count_of, override, points_of, samples_of
from experiments.config.located import locate
from experiments.config.schema import (
    Experiment,
    RankingConfig,
    RunConfig,
    checked,
    resolve,
    system_of,
)
from experiments.systems import from_file
from experiments.systems.registry import SYSTEMS, system_named
from pmf.errors import InputError, hint

SECTIONS = "reading", "columns", "split", "model", "tuning", "ranking", "comparison", "arm"
KEYS = "about", "data", "unit", "system", *SECTIONS
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MOST_RUNS = 10_000  # of an experiment; a larger grid is a slip


def find(name: Path) -> Path:
    """A configuration by its path, or by its name in `configs/`.

    Raises `InputError` with the nearest name.
    """
    named = CONFIGS / f"{name.stem}.toml"
    if name.is_file():
        return name
    if name.parent in (Path("."), Path("configs")) and named.is_file():
        here = Path.cwd()
        return named.relative_to(here) if named.is_relative_to(here) else named
    known = sorted(path.stem for path in CONFIGS.glob("*.toml"))
    raise InputError(f"{name}: no such configuration; {hint(name.stem, known)}")


class Grid(NamedTuple):
    """A configuration that has been read; its runs have not been made."""

    path: Path
    about: str
    unit: str
    arms: dict[str, Axes]
    own: dict[str, tuple[str, ...]]  # the settings that each arm names itself
    comparison: ComparisonConfig | None

    @property
    def count(self) -> int:
        return sum(map(count_of, self.arms.values()))

    def resolved(self, points_of_arm: Callable[[Axes], Iterator[Tree]]) -> Iterator[RunConfig]:
        """The runs at some points of each arm's axes, checked."""
        for arm, axes in self.arms.items():
            for point in points_of_arm(axes):
                yield resolve(point, str(self.path), self.own.get(arm, ()))


def load_experiment(path: Path, overrides: list[str]) -> Experiment:
    """Read a TOML, apply `a.b=value` overrides, and expand every list into a grid.

    Raises `InputError` naming the file and the key: an unknown key, a wrong type, an empty grid.
    """
    return expand(read(path, overrides))


def read(path: Path, overrides: list[str]) -> Grid:
    """The first half of `load`: a grid of any size, not expanded."""
    document.check_name(path.stem, "the name", str(path))
    tree = document.read(path)
    locate(tree, path)
    filed = _as_filed(tree)
    for text in overrides:
        override(tree, text)
    document.check(tree, str(path))
    _check_sections(tree, path)
    _join_reading(tree, path)
    about, unit = tree.pop("about", ""), _unit(tree, path)
    comparison = _comparison(tree, path)
    trees = _arms(tree, path)
    _check_taken(trees, filed, tree, overrides, path)
    arms = {arm.get("arm", ""): axes_of(arm, path) for arm in trees}
    named = {name: tuple(content) for name, content in tree.get("arm", {}).items()}
    return Grid(path, about, unit, arms, named, comparison)


def expand(grid: Grid) -> Experiment:
    """The second half of `load`: every run. Raises `InputError` where they are too many."""
    if grid.count > MOST_RUNS:
        for _ in grid.resolved(samples_of):  # other mistakes come first
            pass
        raise InputError(
            f"{grid.path}: {grid.count:,} runs; an experiment has at most {MOST_RUNS:,}"
        )
    runs = tuple(grid.resolved(points_of))
    if len({run.model_dump_json() for run in runs}) != len(runs):
        raise InputError(f"{grid.path}: a list names the same value twice")
    if all(run.ranking and not system_named(run.system).ranks(run.model) for run in runs):
        raise InputError(f"{grid.path}: ranking: none of the systems ranks items; leave it out")
    if grid.comparison is not None:
        arms = (Compared(run.arm, system_named(run.system), run.model) for run in runs)
        check_arms(grid.comparison, arms, grid.path)
    return Experiment(
        name=grid.path.stem, about=grid.about, runs=runs, comparison=grid.comparison, unit=grid.unit
    )


def _comparison(tree: Tree, path: Path) -> ComparisonConfig | None:
    """Taken out of the tree: it belongs to the experiment, and its lists are no grid."""
    content, arms = tree.pop("comparison", None), list(tree.get("arm", {}))
    if content is None:
        return None
    comparison = checked(ComparisonConfig, content, "comparison.", str(path))
    for name in comparison.references:
        if name not in arms:
            raise InputError(f"{path}: comparison.references: {name!r}: {hint(name, arms)}")
    ranking = tree.get("ranking")
    k = [] if ranking is None else ranking.get("k", RankingConfig().k)
    check_lists(comparison, k if isinstance(k, list) else [k], path)
    return comparison


def _unit(tree: Tree, path: Path) -> str:
    """Taken out of the tree: it changes axes, and no run."""
    unit = tree.pop("unit", "")
    if not isinstance(unit, str):
        raise InputError(f'{path}: unit={unit!r}: a word for axes, such as "points"')
    if unit:
        document.check_name(unit, "unit", str(path))
    return unit


def _join_reading(tree: Tree, path: Path) -> None:
    """`[reading]` and `[columns]` are two sections, as one writes them, and one reading."""
    reading, columns = tree.pop("reading", {}), tree.pop("columns", {})
    if "columns" in reading:
        raise InputError(f"{path}: reading.columns: a section of its own, as [columns]")
    if reading or columns:
        tree["reading"] = {**reading, "columns": columns}


def _check_sections(tree: Tree, path: Path) -> None:
    for key in tree:
        if key not in KEYS:
            raise InputError(f"{path}: {key}: unknown key; {hint(key, KEYS)}")
    if not isinstance(tree.get("about", ""), str):
        raise InputError(f"{path}: about: a line of text is needed")
    for key in SECTIONS:
        if not isinstance(tree.get(key, {}), dict):
            raise InputError(f"{path}: {key}: a section is needed, as [{key}]")


def _arms(tree: Tree, path: Path) -> list[Tree]:
    """The tree of each arm: its settings merged over `[model]`.

    An arm takes from `[model]` what its system knows; what no arm's system knows is an error.
    """
    tree = {"system": "pmf", "split": {}, "model": {}, **tree}
    named = tree.pop("arm", None) or {}
    for name, content in named.items():
        document.check_name(name, "arm", str(path))
        if not isinstance(content, dict):
            raise InputError(f"{path}: arm.{name}: an arm is a section, as [arm.{name}]")
    arms = named or {"": {}}
    used = {
        name: _whole_paths(content.get("system", tree["system"]), path)
        for name, content in arms.items()
    }
    fields = {name: set(_fields(system, str(path))) for name, system in used.items()}
    known = set[str]().union(*fields.values())
    for key in tree["model"]:
        if key not in known:
            raise InputError(f"{path}: model.{key}: unknown setting; {hint(key, sorted(known))}")
    trees = []
    for name, content in arms.items():
        shared = {key: value for key, value in tree["model"].items() if key in fields[name]}
        settings = {key: value for key, value in content.items() if key != "system"}
        point = {**tree, "system": used[name], "model": shared | settings}
        trees.append({"arm": name, **point} if name else point)
    return trees


def _as_filed(tree: Tree) -> dict[str, Tree]:
    """By arm what a file says before overrides, each of which may be a list; of a malformed file
    nothing.
    """
    model, arms = tree.get("model", {}), tree.get("arm") or {"": {}}
    if not all(isinstance(part, dict) for part in (model, arms, *arms.values())):
        return {}
    system = tree.get("system", "pmf")
    return {name: {"system": system, **model, **content} for name, content in arms.items()}


def _check_taken(
    arms: list[Tree], filed: dict[str, Tree], tree: Tree, overrides: list[str], path: Path
) -> None:
    """Raise `InputError` for a setting that no method of the grid has.

    Of a grid over methods those that have it take it, and every identity names it. A file may say
    more than is left of its methods after the `overrides`; what these say must be of use.
    """
    points = {arm.get("arm", ""): {"system": arm["system"], **arm["model"]} for arm in arms}
    overridden = {text.partition("=")[0].strip() for text in overrides}
    sections = {
        f"arm.{name}.": (name, content) for name, content in (tree.get("arm") or {}).items()
    }
    for where, (arm, section) in {"model.": (None, tree.get("model", {})), **sections}.items():
        for name in section:
            grids = [points] if where + name in overridden else [points, filed]
            alike = [grid[one] for grid in grids for one in grid if arm in (None, one)]
            reasons = [reason for point in alike for reason in _refusals(point, name)]
            if reasons and all(reasons):
                raise InputError(f"{path}: {where}{reasons[0]}")


def _refusals(point: Tree, name: str) -> list[str]:
    """Why each system of an arm that knows a setting does not take it; "" where it does."""
    systems = point["system"] if isinstance(point["system"], list) else [point["system"]]
    known = [SYSTEMS[one] for one in systems if isinstance(one, str) and one in SYSTEMS]
    return [one.refusal(point, name) for one in known if name in one.settings.model_fields]


def _whole_paths(system: Any, path: Path) -> Any:
    """A system, or a list of them, with the whole paths of those that are in files."""
    if isinstance(system, list):
        return [_whole_paths(one, path) for one in system]
    if not isinstance(system, str) or not from_file.is_file(system):
        return system
    try:
        return from_file.located(system, path.parent)
    except InputError as error:
        raise InputError(f"{path}: system: {error}") from error


def _fields(system: Any, source: str) -> list[str]:
    names = system if isinstance(system, list) else [system]
    return [field for name in names for field in system_of(name, source).settings.model_fields]
