"""Imports run downward only, and sibling algorithms do not know each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"pmf.cpu.kept"},
    {"pmf.errors", "pmf.types", "pmf.progress", "pmf.compilation", "pmf.leaves", "pmf.living",
     "pmf.cpu.simd", "pmf.cpu.compress", "pmf.data.kernels", "pmf.data.compact"},
    {"experiments.document", "experiments.naming", "experiments.sealed",
     "pmf.forked", "pmf.source", "pmf.interrupt", "pmf.optimizers", "pmf.locks", "pmf.cpu.rows",
     "pmf.data.canonical", "pmf.data.columns",
     "pmf.data.lines", "pmf.data.numeric",
     "pmf.data.packed", "pmf.evaluate.resampling"},
    {"pmf.programs", "pmf.atomic", "pmf.data.workspace", "pmf.start",
     "pmf.cpu.xla", "pmf.data.checks", "pmf.data.coding", "pmf.data.pairs", "pmf.data.parquet",
     "pmf.data.quotes", "pmf.data.reading",
     "pmf.evaluate.compare"},
    {"experiments.sources", "pmf.command", "pmf.model", "pmf.sealed", "pmf.data.ids",
     "pmf.data.tables", "pmf.data.text", "pmf.data.times", "pmf.lots", "pmf.units"},
    {"pmf.checkpoint", "pmf.conditionals", "pmf.wishart", "pmf.layout", "pmf.priors",
     "pmf.data.frames",
     "pmf.data.records", "pmf.data.synthetic"},
    {"pmf.data.files", "pmf.data.features", "pmf.data.splits"},
    {"pmf.data.movielens", "pmf.data.stream"},
    {"pmf.data.catalogue"},
    {"pmf.data.parting"},
    {"pmf.als", "pmf.gradient", "pmf.gibbs", "pmf.content", "pmf.hybrid", "pmf.predictive",
     "pmf.candidates", "pmf.new_rows", "pmf.placement"},
    {"pmf.streamed", "pmf.sharding", "pmf.distributed", "pmf.watch", "pmf.evaluate.scores",
     "pmf.evaluate.ranking"},
    {"pmf.run", "pmf.rescale"},
    {"pmf.tuning", "pmf.settings", "pmf.evaluate.strata", "pmf.evaluate.bootstrap"},
    {"pmf.plan", "pmf.fingerprint"},
    {"pmf.fit"},
    {"pmf.plausible", "pmf.answers"},
    {"pmf.factors", "pmf.store", "pmf.featured", "pmf.folded", "pmf.approximate"},
    {"pmf.content_model", "pmf.hybrid_model", "pmf.extend", "pmf.rules"},
    {"pmf.lists"},
    {"pmf.estimator"},
    {"pmf.evaluate.report"},
    {"pmf.cli_reading", "pmf.cli_settings", "pmf.limits"},
    {"pmf.cli_data", "pmf.cli_doctor", "pmf.cli_lists", "pmf.cli_split", "pmf.app.launch",
     "pmf.app.person", "pmf.app.space", "pmf.app.text"},
    {"pmf.cli"},
    {"benchmarks.memory"},
    {"experiments.located",
     "experiments.system", "experiments.grid", "experiments.folders", "experiments.cores",
     "experiments.table", "experiments.peers", "experiments.rivals",
     "benchmarks.workers", "benchmarks.latency", "benchmarks.gpu", "benchmarks.scaling_devices",
     "paper_figures.style", "paper_figures.runs", "paper_figures.estimates",
     "paper_figures.labels", "paper_figures.formulas"},
    {"experiments.factorization", "experiments.own", "experiments.peer",
     "experiments.leftovers", "benchmarks.speed",
     "paper_figures.lines", "paper_figures.wording", "paper_figures.convergence",
     "paper_figures.calibration", "paper_figures.pit", "paper_figures.strata",
     "paper_figures.scaling", "paper_figures.rivals",
     "paper_figures.factor_map"},
    {"experiments.timing", "experiments.featured",
     "paper_figures.rank", "paper_figures.ablation",
     "paper_figures.learning", "paper_figures.coldstart", "paper_figures.priors",
     "paper_figures.temporal", "paper_figures.variance", "paper_figures.content"},
    {"experiments.systems", "paper_figures.build", "paper_figures.tables",
     "paper_figures.findings"},
    {"experiments.config", "paper_figures.sections"},
    {"experiments.inputs", "paper_figures.report", "paper_figures.docs"},
    {"experiments.identity"},
    {"experiments.tune", "experiments.manifest", "experiments.estimate"},
    {"experiments.runs", "experiments.collect", "experiments.comparisons"},
    {"experiments.reproduce", "experiments.tasks", "experiments.outputs"},
    {"experiments.sweep", "experiments.display"},
    {"experiments.pool", "experiments.cluster", "experiments.plan"},
    {"experiments.__main__", "paper_figures.__main__", "pmf.__main__", "pmf.app.choice",
     "pmf.app.state"},
    {"pmf.app.for_you", "pmf.app.contrast", "pmf.app.explore", "pmf.app.quality",
     "pmf.app.workshop"},
    {"pmf.app.page"},
]  # fmt: skip
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(
    path
    for folder in ("pmf", "benchmarks", "experiments", "paper_figures")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py" and "bundled" not in path.parts
)


def room_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=room_of)
def test_imports_run_downward(path):
    room = room_of(path)
    assert room in FLOOR, f"{room} has no floor"
    upward = {other for other in imports(path) & set(FLOOR) if FLOOR[other] >= FLOOR[room]}
    assert not upward


@pytest.mark.parametrize("path", SOURCES, ids=room_of)
def test_nothing_needs_the_tests(path):
    assert not {name for name in imports(path) if name.split(".")[0] == "tests"}


def test_every_room_on_a_floor_exists():
    assert set(FLOOR) == {room_of(path) for path in SOURCES}
