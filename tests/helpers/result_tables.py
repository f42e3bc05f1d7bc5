"""Results tables with the columns that `collect` writes, of experiments that nobody ran.

Each effect is put in by hand, so that figures and sentences can be compared with it.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from experiments.tables.profile import COLUMNS, profile
from paper_figures.figures.build import read
from pmf.evaluate.scores import LEVELS

BASE = {
    "arm": "",
    "system": "pmf",
    "data": "ml-latest-small",
    "split.kind": "crossfold_records",
    "split.seed": 0,
    "split.fraction": 0.2,
    "split.partitions": 5,
    "split.fold": 1,
    "split.n": 1,
    "split.users": 100,
    "split.given": 0,
    "split.keep": 1.0,
    "model.rank": 16,
    "model.method": "als",
    "model.seed": 0,
    "model.burn_in": 100,
    "model.tau": "auto",
    "model.hyperprior": "separate",
    "tuning.trials": 20,
    "error": "",
}
RMSE = {
    "ALS": 0.870,
    "MAP, Adam": 0.871,
    "MAP, L-BFGS": 0.872,
    "MAP, mini-batches": 0.876,
    "Gibbs": 0.855,
    "mean": 1.05,
    "both biases": 0.890,
}
METHOD = {"Gibbs": "gibbs", "MAP, Adam": "map", "MAP, L-BFGS": "map", "MAP, mini-batches": "map"}
RECOVERED = ["user", "item", "interaction"]
STRATA = ["0", "1-4", "5-19", "20-99", "100-499", "500+"]

Tables = dict[str, pd.DataFrame]
Line = Mapping[str, object]


def arm(name: str, **fields: object) -> dict:
    """A run's fields: dots are written as two underscores."""
    named = {key.replace("__", "."): value for key, value in fields.items()}
    return {"arm": name, "model.method": METHOD.get(name, "als")} | named


def tables_of(lines: Iterable[Line], rmse: Callable[[Line], float], seed: int = 0) -> Tables:
    """Tables of runs with these fields, whose RMSE is the function's and a fold's own part."""
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame([BASE | dict(line) for line in lines])
    runs.insert(0, "id", [f"{j:012x}" for j in range(len(runs))])
    scores, trace, levels, pits, strata = [], [], [], [], []
    for run in runs.to_dict("records"):
        fold = 0.004 * np.sin(3.0 * run["split.fold"] + run["split.seed"])
        value = rmse(run) + fold + 0.001 * rng.standard_normal()
        width = 1.02 if run["model.method"] == "gibbs" else 0.85
        scores.append(_scores(run["id"], value, width, run["model.method"]))
        trace.append(_trace(run, value))
        levels.append(_calibration(run["id"], width))
        pits.append(_pit(run["id"], width))
        strata.append(_strata(run["id"], value))
    parts = {"scores": scores, "trace": trace, "calibration": levels, "pit": pits}
    stacked = {name: pd.concat(part, ignore_index=True) for name, part in parts.items()}
    return {"runs": runs, **stacked, "strata": pd.concat(strata, ignore_index=True)}


def _scores(run: str, value: float, width: float, method: str) -> pd.DataFrame:
    seconds = {"als": 0.4, "map": 1.1, "gibbs": 9.0}[method]
    values = {
        "n": 20000,
        "rmse": value,
        "mae": 0.77 * value,
        "log_density": -1.5 * value,
        "crps": 0.55 * value,
        "coverage_50": 0.5 * width,
        "coverage_90": min(0.9 * width, 1),
        "sharpness_90": 2.7,
        "unknown_users": 0,
        "unknown_items": 700,
        "fit_seconds": seconds,
        "search_seconds": 9 * seconds,
        "compile_seconds": 2.0,
        "ndcg@10": 0.2 - 0.1 * (value - 0.8),
        "recall@10": 0.1,
    }
    return pd.DataFrame({"id": run, "metric": list(values), "value": list(values.values())})


def _trace(run: Line, value: float) -> pd.DataFrame:
    steps = np.unique(np.geomspace(1, 200, 12).astype(int))
    curve = value + 0.3 / steps
    return pd.DataFrame(
        {"id": run["id"], "step": steps, "seconds": 0.02 * steps, "metric": "rmse", "value": curve}
    )


def _calibration(run: str, width: float) -> pd.DataFrame:
    actual = 2 * norm.cdf(width * norm.ppf((1 + LEVELS) / 2)) - 1
    return pd.DataFrame({"id": run, "nominal": LEVELS, "actual": actual, "width": 3 * LEVELS})


def _pit(run: str, width: float) -> pd.DataFrame:
    edges = np.linspace(0, 1, 21)
    share = np.diff(norm.cdf(norm.ppf(edges) * width))
    return pd.DataFrame({"id": run, "low": edges[:-1], "high": edges[1:], "share": share})


def _strata(run: str, value: float) -> pd.DataFrame:
    parts = []
    for by in ("user history", "item popularity"):
        extra = 0.12 / (1 + np.arange(6))
        parts.append(
            pd.DataFrame(
                {
                    "id": run,
                    "by": by,
                    "stratum": STRATA,
                    "rmse": value + extra,
                    "n": [700, 2100, 4000, 6000, 5000, 2200],
                }
            )
        )
    return pd.concat(parts)


def _rmse(run: Line) -> float:
    return RMSE.get(str(run["arm"]), 0.87) + 0.02 / float(str(run["model.rank"] or 1))


def quickstart() -> Tables:
    lines = [
        {"data": "ml-small-2016", "split.kind": "sample_records", "model.method": method}
        for method in ("als", "map", "gibbs")
    ]
    value = {"als": 0.872, "map": 0.8716, "gibbs": 0.8626}
    return tables_of(lines, lambda run: value[str(run["model.method"])])


def compare() -> Tables:
    arms = ["ALS", "MAP, Adam", "MAP, L-BFGS", "MAP, mini-batches", "Gibbs"]
    lines = [
        arm(name, split__fold=fold, model__rank=rank, model__seed=seed)
        for name in arms
        for rank in (4, 16, 64)
        for fold in (1, 2, 3)
        for seed in (0, 1)
    ]
    others = {name: 0.001 * j for j, name in enumerate(arms[1:-1], 1)} | {"Gibbs": -0.015}
    return tables_of(lines, _rmse) | {"comparisons": comparisons(others, "ALS")}


def comparisons(
    differences: Mapping[str, float], reference: str, methods: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Differences of RMSE, half as wide intervals of 0.003, and verdicts that go with them."""
    rows = []
    for method in methods or (None,):
        for name, rmse in differences.items():
            for metric, scale in (("rmse", 1.0), ("log_density", -1.5), ("ndcg@10", -0.1)):
                difference, half = scale * rmse, 0.0015 * abs(scale)
                good = rmse < 0
                verdict = (
                    "no difference shown"
                    if abs(difference) < half
                    else ("better" if good else "worse")
                )
                p = 0.4 if verdict.startswith("no") else 0.0001
                setting = {} if method is None else {"model.method": method}
                rows.append(
                    {
                        "metric": metric,
                        "arm": name,
                        "reference": reference,
                        "difference": difference,
                        "low": difference - half,
                        "high": difference + half,
                        "p": p,
                        "p_adjusted": p,
                        "effect": 0.1,
                        "n": 600,
                        "verdict": verdict,
                    }
                    | setting
                )
    return pd.DataFrame(rows)


def ablation() -> Tables:
    loss = {
        "mean": 0.18,
        "user bias": 0.07,
        "item bias": 0.05,
        "both biases": 0.02,
        "factors": 0.001,
        "everything": 0.0,
    }
    lines = [
        arm(name, model__method=method, split__fold=fold)
        for name in loss
        for method in ("als", "gibbs")
        for fold in (1, 2, 3)
    ]
    tables = tables_of(lines, lambda run: 0.86 + loss[str(run["arm"])])
    others = {name: value for name, value in loss.items() if value}
    return tables | {"comparisons": comparisons(others, "everything", ("als", "gibbs"))}


def ablation_small() -> Tables:
    """Factors help at random, and not in time."""
    lines = [
        arm(name, data=data, model__method=method, split__kind=kind, split__seed=seed)
        for data in ("ml-small-2016", "ml-latest-small")
        for name in ("both biases", "factors", "everything")
        for method in ("als", "gibbs")
        for kind in ("sample_records", "split_global_time")
        for seed in (0, 1, 2)
    ]

    def rmse(run: Line) -> float:
        gain = 0.03 if run["split.kind"] == "sample_records" else 0.0
        return 0.9 - gain * (run["arm"] != "both biases")

    return tables_of(lines, rmse)


def ablation_25m() -> Tables:
    """Where the truth is known: users' effects are recovered by biases, interactions by factors."""
    lines = [
        arm(name, model__rank=rank, split__kind="sample_records", split__seed=seed)
        for name, rank in (("biases", 0), ("factors, rank 8", 8), ("both, rank 8", 8))
        for seed in (0, 1, 2)
    ]
    rmse = {"biases": 0.86, "factors, rank 8": 0.85, "both, rank 8": 0.83}
    tables = tables_of(lines, lambda run: rmse[str(run["arm"])])
    shares = {
        "biases": (0.96, 0.9, 0.0),
        "factors, rank 8": (0.6, 0.8, 0.1),
        "both, rank 8": (0.95, 0.91, 0.3),
    }
    rows = [
        {"id": run["id"], "metric": f"recovered_{part}", "value": share + 0.01 * run["split.seed"]}
        for run in tables["runs"].to_dict("records")
        for part, share in zip(RECOVERED, shares[run["arm"]], strict=True)
    ]
    tables["scores"] = pd.concat([tables["scores"], pd.DataFrame(rows)], ignore_index=True)
    others = {name: value - 0.86 for name, value in rmse.items() if name != "biases"}
    return tables | {"comparisons": comparisons(others, "biases", ())}


def sparsity() -> Tables:
    lines = [
        arm(name, split__keep=keep, split__fold=fold)
        for name in ("both biases", "ALS", "Gibbs")
        for keep in (0.1, 0.4, 1.0)
        for fold in (1, 2, 3)
    ]
    return tables_of(lines, lambda run: _rmse(run) + 0.05 * (1 - float(str(run["split.keep"]))))


def coldstart() -> Tables:
    lines = [
        arm(name, split__kind="sample_users", split__given=count, split__fold=fold)
        for name in ("both biases", "ALS", "Gibbs")
        for count in (0, 1, 5, 20)
        for fold in (1, 2, 3)
    ]
    return tables_of(lines, lambda run: _rmse(run) + 0.1 / (1 + float(str(run["split.given"]))))


def priors() -> Tables:
    strengths = {"PMF": (2.8, 11.2, 44.8), "ALS-WR": (0.007, 0.028, 0.112)}
    lines: list[dict] = [
        arm(name, split__fold=fold) | {"model.prior.user_factor": strength}
        for name, grid in strengths.items()
        for strength in grid
        for fold in (1, 2, 3)
    ]
    lines += [
        arm("Gibbs", split__fold=fold, model__tau=tau, model__hyperprior=kind)
        for tau in ("auto", "learn")
        for kind in ("separate", "joint")
        for fold in (1, 2, 3)
    ]

    def rmse(run: Line) -> float:
        strength = float(str(run.get("model.prior.user_factor", "nan")))
        if strength != strength:
            return 0.855 + 0.004 * (run["model.tau"] == "learn")
        middle = strengths[str(run["arm"])][1]
        return 0.87 + 0.02 * np.log2(strength / middle) ** 2 / 4

    return tables_of(lines, rmse)


def temporal() -> Tables:
    lines = [
        arm(name, split__kind=kind, split__fraction=share, model__seed=seed)
        for name in ("both biases", "ALS", "Gibbs")
        for kind in ("sample_records", "split_global_time")
        for share in (0.1, 0.2, 0.4)
        for seed in (0, 1, 2)
    ]

    def rmse(run: Line) -> float:
        later = 0.06 if run["split.kind"] == "split_global_time" else 0
        return _rmse(run) + later + 0.05 * float(str(run["split.fraction"]))

    return tables_of(lines, rmse)


def content() -> Tables:
    systems = {"content": 0.90, "hybrid": 0.855, "pmf": 0.86}
    lines = [
        arm({"pmf": "collaborative"}.get(name, name), system=name, split__fold=fold)
        for name in systems
        for fold in (1, 2, 3)
    ]
    return tables_of(lines, lambda run: systems[str(run["system"])])


def scaling() -> Tables:
    rng = np.random.default_rng(1)
    lines, scores = [], []
    for method, cost in (("ALS", 1e-8), ("Gibbs", 2e-8)):
        arms = {
            "ratings": [(n, 16, 2) for n in (1e5, 1e6, 1e7)],
            "rank": [(1e6, k, 2) for k in (8, 16, 32, 64)],
            "threads": [(1e6, 16, threads) for threads in (1, 2)],
        }
        for name, along in arms.items():
            for (ratings, rank, threads), repeat in itertools.product(along, (1, 2, 3)):
                lines.append(
                    {
                        "arm": f"{method}, {name}",
                        "system": "sweep",
                        "data": "",
                        "model.method": method.lower(),
                        "model.ratings": ratings,
                        "model.rank": rank,
                        "model.threads": threads,
                        "model.repeat": repeat,
                        "error": "",
                    }
                )
                noise = np.exp(0.02 * rng.standard_normal())
                seconds = cost * ratings * (rank / 16) ** 1.5 * (2 / threads) ** 0.9 * noise
                memory = 2e8 + 40 * ratings + ratings * rank / 4
                scores.append(
                    {"sweep_seconds": seconds, "compile_seconds": 3.0, "peak_bytes": memory}
                )
    runs = pd.DataFrame(lines)
    runs.insert(0, "id", [f"{j:012x}" for j in range(len(runs))])
    wide = pd.DataFrame(scores).assign(id=runs["id"])
    empty = {
        name: pd.DataFrame(columns=["id"]) for name in ("trace", "calibration", "pit", "strata")
    }
    return {"runs": runs, "scores": wide.melt("id", var_name="metric"), **empty}


def rivals() -> Tables:
    known = {
        "ALS": (0.870, 0.4),
        "Gibbs": (0.855, 9.0),
        "cmfrec": (0.869, 1.1),
        "smurff": (0.858, 24.0),
        "myfm": (0.861, 60.0),
        "surprise_svd": (0.875, 2.0),
        "implicit_als": (1.05, 0.6),
    }
    lines = [
        arm(
            name,
            split__fold=fold,
            system="pmf" if name in ("ALS", "Gibbs") else "peer",
            tuning__trials=trials,
        )
        for name in known
        for trials in (0, 20)
        for fold in (1, 2, 3)
    ]
    tables = tables_of(
        lines, lambda run: known[str(run["arm"])][0] + 0.004 * (run["tuning.trials"] == 0)
    )
    named = tables["scores"]["id"].map(tables["runs"].set_index("id")["arm"])
    is_time = tables["scores"]["metric"] == "fit_seconds"
    seconds = named.map({name: time for name, (_, time) in known.items()})
    tables["scores"]["value"] = tables["scores"]["value"].where(~is_time, seconds)
    broken = BASE | arm("cornac_pmf", system="peer", error="segmentation fault") | {"id": "f" * 12}
    tables["runs"] = pd.concat([tables["runs"], pd.DataFrame([broken])], ignore_index=True)
    return tables


def films() -> Tables:
    rng = np.random.default_rng(2)
    n, genres = 90, ["Horror", "Comedy|Romance", "Action|Sci-Fi", "Documentary", "Crime|Drama"]
    tables = quickstart()
    items = pd.DataFrame(
        {
            "id": tables["runs"]["id"].iloc[-1],
            "item_id": np.arange(n).astype(str),
            "title": [f"Film of Some Length {j}, The ({1950 + j % 60})" for j in range(n)],
            "genres": [genres[j % 5] for j in range(n)],
            "x": rng.standard_normal(n),
            "y": rng.standard_normal(n),
            "popularity": rng.integers(1, 300, n),
        }
    )
    return tables | {"items": items, "data": data("ml-small-2016")}


def data(name: str) -> pd.DataFrame:
    """A data set's profile: of ratings that nobody gave."""
    rng = np.random.default_rng(3)
    rows = {f"{side}_id": rng.geometric(p, 2000) for side, p in (("user", 0.05), ("item", 0.02))}
    ratings = pd.DataFrame(rows | {"rating": rng.integers(1, 11, 2000) / 2})
    return profile(ratings).assign(data=name)[COLUMNS]


EXPERIMENTS: dict[str, Callable[[], Tables]] = {
    "quickstart": quickstart,
    "compare": compare,
    "ablation": ablation,
    "ablation_small": ablation_small,
    "ablation_25m": ablation_25m,
    "sparsity": sparsity,
    "coldstart": coldstart,
    "priors": priors,
    "temporal": temporal,
    "content": content,
    "scaling": scaling,
    "rivals": rivals,
    "films": films,
}


def write_all(folder: Path) -> dict[str, Tables]:
    """Every experiment's tables as files, and as they are read again."""
    return {name: read(write(folder / name, make())) for name, make in EXPERIMENTS.items()}


def write(folder: Path, tables: Tables) -> Path:
    """The tables as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def race(size: str, rank: int) -> pd.DataFrame:
    """The table of `benchmarks.time_to_rmse`, of ALS and one rival."""
    same = {"size": size, "rank": rank, "repeat": 1, "peak_gb": 0.5, "error": np.nan}
    times = {"step": [1, 2, 3], "seconds": [0.5, 1.0, 2.0], "search_seconds": 0.25}
    als = {"system": "als", "cache": "warm", "rmse": [0.9, 0.85, 0.84]}
    libmf = {"system": "libmf", "cache": "none", "rmse": [0.95, 0.88, 0.89]}
    return pd.concat(pd.DataFrame(same | times | one) for one in (als, libmf))
