"""Every kind of model saved and loaded. Catches: a kind that comes back as another, a part that
changes a prediction, and damaged or hostile parts that are not refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import pmf
from pmf.data.features import item_features
from pmf.errors import InputError
from pmf.io.tensor_file import CHECKSUM, FORMAT, sealed

PRIOR = pmf.IsotropicPrior(2.0, 3.0, 4.0, 1.0, 2.0, user_exponent=0.3)
MOVIES = pd.DataFrame(
    {
        "item_id": range(14),
        "genres": ["Drama|War", "Comedy", "Drama", "War|Comedy"] * 3 + ["Drama", "Comedy"],
        "year": [1990 + 3 * (j % 5) for j in range(14)],
    }
)
RNG = np.random.default_rng(5)
PAIR = RNG.permutation(20 * 12)[:120]
RATINGS = pd.DataFrame(
    {"user_id": PAIR // 12, "item_id": PAIR % 12, "rating": RNG.integers(1, 6, 120).astype(float)}
)
ASKED = pd.DataFrame({"user_id": [0, 1, 2, 99], "item_id": [3, 13, 55, 1]})
KINDS = ("PMF", "VB", "Content", "Hybrid", "Folded")


@pytest.fixture(scope="module")
def models() -> dict[str, pmf.PMF]:
    features = item_features(MOVIES)
    plain = pmf.PMF(2, prior=PRIOR, num_steps=3, scale=(1, 5), clip=True).fit(RATINGS)
    return {
        "PMF": plain,
        "VB": pmf.PMF(2, method="vb", num_steps=3).fit(RATINGS),
        "Content": pmf.Content(prior=PRIOR).fit(RATINGS, features),
        "Hybrid": pmf.Hybrid(2, prior=PRIOR, regression=2.0, num_steps=3).fit(RATINGS, features),
        "Folded": pmf.fold_in(plain, RATINGS[:9]),
    }


@pytest.fixture(scope="module")
def files(models, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    for kind, model in models.items():
        model.save(folder / kind)
    return {kind: folder / kind for kind in models}


@pytest.mark.filterwarnings("ignore::pmf.UnknownIdWarning", "ignore::pmf.OverlapWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_comes_back_bit_for_bit(kind, models, files):
    model, loaded = models[kind], pmf.load(files[kind])
    assert type(loaded) is type(model) and repr(loaded) == repr(model)
    assert (loaded.settings, loaded.noise_source) == (model.settings, model.noise_source)
    assert repr(loaded.records) == repr(model.records)  # NaN is no NaN
    assert loaded.log_posterior() == model.log_posterior()
    assert loaded.fitted.fit.prior == model.fitted.fit.prior
    for one in ("predict", "explain", "profile", "fold_in"):
        match one:
            case "predict":
                tables = [each.predict(ASKED, interval=0.9) for each in (model, loaded)]
            case "fold_in":
                new = [pmf.fold_in(each, RATINGS[:5]) for each in (model, loaded)]
                tables = [each.predict(ASKED[:3], interval=0.5) for each in new]
            case _:
                if not hasattr(model, one):
                    continue
                user = RATINGS["user_id"][0]
                words = (user, 3) if one == "explain" else (user,)
                tables = [getattr(each, one)(*words).reset_index() for each in (model, loaded)]
        pd.testing.assert_frame_equal(*tables, check_exact=True, check_dtype=False)
    assert pmf.report(loaded, RATINGS[:30]).scores == pmf.report(model, RATINGS[:30]).scores


def rewritten(path: Path, folder: Path, change) -> Path:
    """A model file with other content under a right checksum."""
    with safe_open(path, "numpy") as file:
        header = json.loads(file.metadata()[FORMAT]) | {CHECKSUM: ""}
    tensors = load_file(path)
    change(header, tensors)
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(tensors, folder / "m.pmf", {FORMAT: sealed(json.dumps(header), tensors)})
    return folder / "m.pmf"


def spoil(name: str, change):
    return lambda header, tensors: tensors.update({name: change(tensors[name])})


def nan_first(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flat[0] = np.nan
    return x


HOSTILE = [
    ("Content", spoil("part.weight", lambda x: x[:-1])),
    ("Content", spoil("part.weight", nan_first)),
    ("Content", spoil("part.feature.column", lambda x: x + 1000)),
    ("Content", spoil("part.feature.start", lambda x: x[::-1].copy())),
    ("Content", spoil("part.feature.mean", lambda x: x[:-1])),
    ("Hybrid", spoil("part.regression.factor", lambda x: x[:, :-1])),
    ("Hybrid", spoil("part.feature.loadings", lambda x: x[:-1])),
    ("Hybrid", lambda header, tensors: tensors.pop("part.feature.values")),
    ("Folded", spoil("part.covariance", lambda x: -x)),
    ("Folded", spoil("part.covariance", lambda x: x[..., :-1])),
    ("Content", lambda header, tensors: header.update(kind="Hybrid")),
    ("PMF", lambda header, tensors: header.update(kind="Folded")),
    ("PMF", lambda header, tensors: header.update(kind="Oracle")),
    ("PMF", lambda header, tensors: header.update({"kind of settings": "Oracle"})),
    ("PMF", lambda header, tensors: header.update(prior={"tau": -1.0})),
    ("PMF", lambda header, tensors: header.update(prior={"rows": 3})),
]


@pytest.mark.parametrize(("kind", "change"), HOSTILE)
def test_wrong_content_under_a_right_checksum_is_refused(kind, change, files, tmp_path):
    path = rewritten(files[kind], tmp_path, change)
    with pytest.raises(InputError) as raised:
        pmf.load(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_of_any_kind_is_refused(kind, files, tmp_path):
    content = bytearray(files[kind].read_bytes())
    content[-3] ^= 4
    (tmp_path / "m.pmf").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        pmf.load(tmp_path / "m.pmf")


def test_an_earlier_file_says_other_methods_settings_and_no_kind(models, files, tmp_path):
    def earlier(header, tensors):
        for name in ("kind", "kind of settings", "prior", "phases"):
            del header[name]
        header["settings"] |= {"burn_in": 100, "tau": "auto", "optimizer": "adam", "on_disk": False}
        header["search"] = [vars(PRIOR), []]

    loaded = pmf.load(rewritten(files["PMF"], tmp_path, earlier))
    assert loaded.settings == models["PMF"].settings
    assert loaded.fitted.fit.prior == PRIOR and loaded.phases == {}
