"""What a person reads of a prediction, part by part and name by name, against sums by hand.

Models are made of numbers chosen here; nothing is fitted. Catches: a part under another's name,
though their sum be right; a question about what hardly anybody rated; a mean where a draw is due.
"""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import pmf
from pmf.app import person
from pmf.cli.main import app
from pmf.data.features import item_features
from pmf.data.ids import Ids
from pmf.estimators.hybrid import Hybrid
from pmf.fitting.driver import Run
from pmf.fitting.fitted import Fit, Fitted
from pmf.fitting.search import Search
from pmf.model.density import joined
from pmf.model.priors import NoisePrecision
from pmf.types import Gaussian, Params, Prior, Side
from tests.helpers.handmade import COUNT, DRAWS, EXPONENT, ITEMS, RANK, USERS, D, made

TITLES = [f"Film {j}" for j in range(ITEMS)]
OWN = {"m1": 5.0, "m3": 2.0, "m4": 3.5, "m0": 1.0}


def folded(model: pmf.PMF, ratings: dict = OWN, user="x"):
    frame = pd.DataFrame(
        {"user_id": user, "item_id": list(ratings), "rating": np.array(list(ratings.values()))}
    )
    return pmf.fold_in(model, frame, users=[user])


class Truth:
    """The new user's row under each draw by its normal equations."""

    def __init__(self, model: pmf.PMF, ratings: dict = OWN):
        fit = model.fitted.fit
        self.V, self.c = fit.run.draws.item.factor, fit.run.draws.item.bias[..., 0]
        self.mu, self.prior, self.tau = fit.run.draws.mu, fit.run.prior.user, fit.run.prior.tau
        self.rows = [int(name[1:]) for name in ratings]
        self.value = np.array(list(ratings.values()))
        weight = max(len(ratings), 1) ** EXPONENT
        self.parts = [self._draw(s, weight) for s in range(len(self.mu))]

    def _draw(self, s: int, weight: float):
        x = np.c_[self.V[s, self.rows], np.ones(len(self.rows))]
        y = self.value - self.mu[s] - self.c[s, self.rows]
        shift = weight * self.prior.precision[s] @ self.prior.mean[s]
        C = np.linalg.inv(weight * self.prior.precision[s] + self.tau[s] * x.T @ x)
        return C, C @ shift, [C @ (self.tau[s] * x[j] * y[j]) for j in range(len(y))]

    def covariance(self, s: int) -> np.ndarray:
        return self.parts[s][0]

    def row(self, s: int) -> np.ndarray:
        return self.parts[s][1] + np.sum(self.parts[s][2], 0)

    def explained(self, item: int) -> dict[str, float]:
        mean, k = (lambda x: float(np.mean(x))), RANK
        draws = range(len(self.mu))
        named = {
            "mean": mean(self.mu),
            "item bias": mean(self.c[:, item]),
            "user bias": mean([self.row(s)[k] for s in draws]),
            "prior": mean([self.V[s, item] @ self.parts[s][1][:k] for s in draws]),
        }
        for j, row in enumerate(self.rows):
            products = [self.V[s, item] @ self.parts[s][2][j][:k] for s in draws]
            named[f"m{row}"] = mean(products)
        return named


@pytest.fixture(scope="module")
def sampler() -> pmf.PMF:
    return made()


@pytest.fixture(scope="module")
def point() -> pmf.PMF:
    return made(1)


@pytest.mark.parametrize("name", ["sampler", "point"])
def test_every_part_is_under_its_own_name(name, request):
    model = request.getfixturevalue(name)
    who, truth = folded(model), Truth(model).explained(5)
    table = who.explain("x", "m5")
    assert list(table["part"]) == ["mean", "item bias", "user bias", "prior"] + ["rating"] * 4
    names = table["item_id"].where(table["part"] == "rating", table["part"])
    contributions = dict(zip(names, table["contribution"], strict=True))
    assert contributions.keys() == truth.keys()
    for part, value in truth.items():
        assert contributions[part] == pytest.approx(value, rel=1e-6), part
    gaps = np.diff(sorted(truth.values()))
    assert gaps.min() > 1e-3  # no part would pass under another's name
    ratings = table[table["part"] == "rating"]
    assert dict(zip(ratings["item_id"], ratings["rating"], strict=True)) == OWN
    assert ratings["contribution"].abs().is_monotonic_decreasing
    assert (np.sign(ratings["contribution"]).nunique()) == 2  # else the order by value would pass


def test_the_page_says_them_in_the_right_words(sampler):
    items = pd.DataFrame({"item_id": [f"m{j}" for j in range(ITEMS)], "title": TITLES})
    who, truth = folded(sampler, user=person.ME), Truth(sampler).explained(5)
    reasons = person.reasons(who, "m5", items).set_index("because")["stars"]
    words = {
        "the average rating": "mean",
        "how much everyone likes this film": "item bias",
        "how generously you rate": "user bias",
        "what is assumed of anyone": "prior",
        "you gave Film 1 5": "m1",
        "you gave Film 3 2": "m3",
        "you gave Film 4 3.5": "m4",
        "you gave Film 0 1": "m0",
    }
    assert set(reasons.index) == set(words)
    for because, part in words.items():
        assert reasons[because] == pytest.approx(truth[part], rel=1e-6), because
    short = person.reasons(who, "m5", items, most=1)
    assert list(short["because"][4:]) == [reasons.index[4], "3 other ratings of yours"]
    assert short["stars"].iloc[-1] == pytest.approx(reasons.iloc[5:].sum(), rel=1e-6)


def test_the_command_line_says_them_too(point, tmp_path):
    """Of a user of the training, who is folded in by their own ratings."""
    point.save(tmp_path / "m.pmf")
    command = ["explain", str(tmp_path / "m.pmf"), "--user", "0", "--item", "m5", "--json"]
    rated = {"m2": 4.0, "m4": 1.5}
    truth = Truth(point, rated).explained(5)
    for count in (9, 1):
        outcome = CliRunner().invoke(app, [*command, "-n", str(count)])
        assert outcome.exit_code == 0, outcome.output
        lines = json.loads(outcome.stdout)
        contributions = {line["item_id"] or line["part"]: line["contribution"] for line in lines}
        assert contributions.pop("prediction") == pytest.approx(sum(truth.values()), rel=1e-4)
        weightiest = max(rated, key=lambda item: abs(truth[item]))
        if count == 1:
            (other,) = set(rated) - {weightiest}
            assert contributions.pop("1 other ratings") == pytest.approx(truth[other], rel=1e-4)
        assert contributions == pytest.approx(
            {part: truth[part] for part in truth if count == 9 or part in contributions}, rel=1e-4
        )
        assert weightiest in contributions and {"mean", "item bias", "user bias", "prior"} <= set(
            contributions
        )


def test_the_pages_intervals_are_of_the_mean_and_of_a_rating(sampler):
    """80 % of a Gaussian is within 1.28 deviations: without the noise, and with it."""
    items = pd.DataFrame({"item_id": [f"m{j}" for j in range(ITEMS)], "title": TITLES})
    who, truth = folded(sampler, user=person.ME), Truth(sampler)
    listed = person.listed(who, person.films(items, sampler), person.Filters(), n=ITEMS)
    assert set(listed["item_id"]) == {"m2", "m5"}
    for film in listed.itertuples():
        i, means, variances = int(film.item_id[1:]), [], []
        for s in range(DRAWS):
            x = np.r_[truth.V[s, i], 1.0]
            means.append(truth.mu[s] + truth.c[s, i] + x @ truth.row(s))
            variances.append(x @ truth.covariance(s) @ x)
        known, noise = np.var(means, ddof=1) + np.mean(variances), np.mean(1 / truth.tau)
        mean, z = np.mean(means), 1.2815515655446004
        assert film.stars == pytest.approx(mean, rel=1e-6)
        half, whole = z * np.sqrt(known), z * np.sqrt(known + noise)
        shown = film.low, film.high, film.rating_low, film.rating_high
        assert shown == pytest.approx((mean - half, mean + half, mean - whole, mean + whole))


def test_questions_are_about_what_many_have_rated(point):
    who = folded(point)
    count = pd.Series(COUNT[:ITEMS], [f"m{j}" for j in range(ITEMS)])
    common = count.nlargest(4)
    questions = who.ask_next("x", n=9, popular=4)
    assert set(questions["item_id"]) == set(common.index) - set(OWN) == {"m2", "m5"}
    truth, share = Truth(point), common / common.sum()
    x = {name: np.r_[truth.V[0, int(name[1:])], 1.0] for name in common.index}
    before = truth.covariance(0)
    for item, drop in zip(questions["item_id"], questions["variance_drop"], strict=True):
        after = np.linalg.inv(np.linalg.inv(before) + truth.tau[0] * np.outer(x[item], x[item]))
        gained = [share[name] * x[name] @ (before - after) @ x[name] for name in common.index]
        assert drop == pytest.approx(sum(gained), rel=1e-6)
    assert questions["variance_drop"].is_monotonic_decreasing


# --- draws where draws are due --------------------------------------------------------------------


def standard(w: np.ndarray, truth: Truth) -> np.ndarray:
    """Rows (s, n, d) in units in which their posterior is N(0, I)."""
    deviations = [
        np.linalg.solve(np.linalg.cholesky(truth.covariance(s)), (w[s] - truth.row(s)).T).T
        for s in range(len(w))
    ]
    return np.array(deviations)


def assert_standard_normal(z: np.ndarray) -> None:
    """(s, n, d): mean 0, covariance I, rows and draws unlike one another, to five errors."""
    n = z.shape[1]
    flat = z.transpose(1, 0, 2).reshape(n, -1)  # what shares a key would correlate
    error = 5 / np.sqrt(n)
    assert np.abs(flat.mean(0)).max() < error
    assert np.abs(np.cov(flat.T) - np.eye(flat.shape[1])).max() < 1.5 * error
    assert np.abs(np.mean(z[:, 1:] * z[:, :-1], axis=1)).max() < error
    assert np.abs(z[:, 0] - z[:, 1]).min() > 1e-6


MANY = 2000


def test_rows_added_to_a_sampler_are_drawn(sampler):
    """Many users of the same ratings: their rows are independent draws of one posterior."""
    ratings = pd.DataFrame({"item_id": list(OWN), "rating": list(OWN.values())})
    frame = pd.concat([ratings.assign(user_id=1000 + j) for j in range(MANY)], ignore_index=True)
    grown = sampler.partial_fit_users(frame, seed=3).fitted.fit.run.draws.user
    w = joined(grown)[:, USERS:-1]
    z = standard(w, Truth(sampler))
    assert z.shape == (DRAWS, MANY, D)
    assert_standard_normal(z)
    few = frame[:8]
    again, other = (sampler.partial_fit_users(few, seed=seed).draws.user.factor for seed in (3, 4))
    same = sampler.partial_fit_users(few, seed=3).fitted.fit.run.draws.user.factor
    assert np.array_equal(again, same) and not np.isclose(again, other)[:, USERS:-1].any()


def test_rows_added_to_a_point_estimate_are_its_mode(point):
    ratings = pd.DataFrame({"user_id": 77, "item_id": list(OWN), "rating": list(OWN.values())})
    grown = point.partial_fit_users(ratings).fitted.fit.run.draws.user
    np.testing.assert_allclose(joined(grown)[0, USERS], Truth(point).row(0), rtol=1e-6)


def test_folded_users_have_draws_of_their_rows(sampler):
    who = folded(sampler)
    draws = who.sampled(seed=1, least=DRAWS * MANY)
    w = joined(draws.user)[:, 0].reshape(DRAWS, MANY, D)
    assert_standard_normal(standard(w, Truth(sampler)))
    np.testing.assert_array_equal(draws.mu, np.repeat(sampler.fitted.fit.run.draws.mu, MANY))
    assert not np.isclose(who.sampled(2).user.factor, who.sampled(3).user.factor)[:, 0].any()


def test_lists_by_bounds_know_the_rows_own_uncertainty(point):
    """The only one there is with a point estimate: a deviation below, and above, the mean."""
    who, truth = folded(point), Truth(point)
    by = {
        rule: pmf.recommend(who, rule=rule).set_index("item_id")["score"]
        for rule in ("mean", "lower", "upper")
    }
    for name in ("m2", "m5"):
        x = np.r_[truth.V[0, int(name[1:])], 1.0]
        deviation = np.sqrt(x @ truth.covariance(0) @ x)
        assert by["mean"][name] - by["lower"][name] == pytest.approx(deviation, rel=0.3)
        assert by["upper"][name] - by["mean"][name] == pytest.approx(deviation, rel=0.3)


# --- explanations by content ----------------------------------------------------------------------

MOVIES = pd.DataFrame(
    {
        "item_id": [10, 20, 30, 40],
        "genres": ["Drama|War", "Drama", "War", "Comedy"],
        "year": pd.array([1994, 2001, 1999, 1988], "Int32"),
    }
)
FEATURES = item_features(MOVIES)
WEIGHTS = {
    "genre: Comedy": 0.31,
    "genre: Drama": -0.9,
    "genre: War": 0.47,
    "decade: 1980s": -0.13,
    "decade: 1990s": 0.75,
    "decade: 2000s": 0.22,
}
HALF = np.sqrt(0.5)
# Of item 10, Drama|War of 1994, less the mean of the four.
DEVIATION = {
    "genre: Comedy": -1 / 4,
    "genre: Drama": HALF - (HALF + 1) / 4,
    "genre: War": HALF - (HALF + 1) / 4,
    "decade: 1980s": -1 / 4,
    "decade: 1990s": 1 - 2 / 4,
    "decade: 2000s": -1 / 4,
}


def by_content(user: Side, item: Side) -> Fitted:
    draws = Params(user, item, np.array([3.6]))
    prior = Prior(np.array([1.5]), *(Gaussian(*(np.zeros(1),) * 3),) * 2)
    run = Run(draws, prior, [], 0.0, None, 0.0, "")
    fit = Fit(run, NoisePrecision(1.0), np.ones(1), Search({}, []))
    ids = Ids(np.array([1, 2])), Ids(MOVIES["item_id"].to_numpy())
    return Fitted(fit, *ids, np.zeros(3), np.zeros(5))


def assert_parts(parts: pd.Series, truth: dict[str, float]) -> None:
    assert set(parts.index) == set(truth)
    for part, value in truth.items():
        assert parts[part] == pytest.approx(value), part
    features = parts[[": " in name for name in parts.index]]
    assert features.abs().is_monotonic_decreasing and np.sign(features).nunique() == 2


def test_content_names_each_feature():
    weights = np.array([list(WEIGHTS.values()), [0.5] * 6, [0.0] * 6])[None]
    model = pmf.Content()
    bias = np.array([-0.6, 0.2, 0.0])[None, :, None]
    model.fitted = by_content(Side(weights, bias), Side(np.zeros((1, 5, 6)), np.zeros((1, 5, 0))))
    model.features = FEATURES
    parts = {name: WEIGHTS[name] * DEVIATION[name] for name in WEIGHTS}
    assert_parts(model.explain(1, 10), {"mean": 3.6, "user bias": -0.6} | parts)
    assert model.profile(1).to_dict() == pytest.approx(WEIGHTS)
    assert list(model.profile(1).index[:2]) == ["genre: Drama", "decade: 1990s"]
    assert person.taste(model, model).to_dict() == pytest.approx(WEIGHTS)  # of the first user


def test_hybrid_names_each_feature_and_what_is_beyond():
    rng = np.random.default_rng(5)
    B, b = rng.normal(size=(6, RANK)), rng.normal(size=6)
    user, item = (Side(rng.normal(size=(1, n, RANK)), rng.normal(size=(1, n, 1))) for n in (3, 5))
    model = Hybrid(rank=RANK)
    model.fitted = by_content(user, item)
    model.features, model.regression = FEATURES, Side(B, b[:, None])
    weights = dict(zip(WEIGHTS, B @ user.factor[0, 0] + b, strict=True))
    parts = {name: weights[name] * DEVIATION[name] for name in WEIGHTS}
    whole = user.factor[0, 0] @ item.factor[0, 0] + item.bias[0, 0, 0]
    known = {
        "mean": 3.6,
        "user bias": user.bias[0, 0, 0],
        "beyond its features": whole - sum(parts.values()),
    }
    assert_parts(model.explain(1, 10), known | parts)
    assert model.profile(1).to_dict() == pytest.approx(weights)
