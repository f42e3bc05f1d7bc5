"""The page's logic, without a browser. Catches: a page that raises, a rating that changes nothing,
an interval that does not narrow, a filter that lets through, hostile titles and uploads that
run."""

import sys

import numpy as np
import pandas as pd
import pytest

import pmf
from pmf.errors import InputError

pytest.importorskip("streamlit", reason="the page needs the extra app")

from streamlit.testing.v1 import AppTest  # noqa: E402

from pmf.app import choice, person, space, state, text, workshop  # noqa: E402
from pmf.app.launch import DATA, MODEL  # noqa: E402

PRIOR = pmf.IsotropicPrior(1.4, 20.0, 20.0, 5.0, 5.0)
TIMEOUT = 120
HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) $E=mc^2$ :red[no]"


@pytest.fixture(scope="module")
def data():
    return pmf.load_data("ml-small-2016")


@pytest.fixture(scope="module")
def model_file(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "small.pmf"
    model = pmf.PMF(4, "gibbs", tau=1.5, burn_in=5, num_steps=8, num_chains=1, thin=1)
    model.fit(data.ratings).save(path)
    return path


@pytest.fixture
def app(model_file, data, monkeypatch):
    """Runs one page by its module's name."""
    monkeypatch.setenv(MODEL, str(model_file))
    monkeypatch.delenv(DATA, raising=False)
    # AppTest makes its script the main module, which later tests' processes would run.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def contrasts():
        features = pmf.item_features(data.items)
        models = {
            "Content": pmf.Content(prior=PRIOR).fit(data.ratings, features),
            "Hybrid": pmf.Hybrid(4, prior=PRIOR, regression=2.0, num_steps=3).fit(
                data.ratings, features
            ),
        }
        return {name: state.shown(name, model) for name, model in models.items()}

    monkeypatch.setattr(state, "contrasts", contrasts)

    def open_page(name: str, **session) -> AppTest:
        def script(name):
            from importlib import import_module

            import_module(f"pmf.app.{name}").show()

        test = AppTest.from_function(script, args=(name,), default_timeout=TIMEOUT)
        for key, value in session.items():
            test.session_state[key] = value
        return test.run()

    return open_page


def press(test: AppTest, label: str) -> AppTest:
    return next(button for button in test.button if button.label == label).click().run(timeout=300)


def typed(test: AppTest, label: str, value: str) -> AppTest:
    return next(box for box in test.text_input if box.label == label).set_value(value).run()


def titles(test: AppTest) -> list[str]:
    """Of the list of films."""
    return next(list(x.value["title"]) for x in test.dataframe if "stars" in x.value)


def test_rating_films_moves_the_list_and_narrows_the_intervals(app):
    test = app("for_you")
    assert not test.exception and test.title[0].value == "Films for you"
    lists, widths = [titles(test)], [float(test.metric[0].value.split()[0])]
    for _ in range(5):
        test.feedback[0].set_value(4).run()  # five stars for what is asked
        assert not test.exception
        lists.append(titles(test))
        widths.append(float(test.metric[0].value.split()[0]))
    assert len(test.session_state["stars"]) == 5
    assert set(test.session_state["stars"].values()) == {5.0}
    assert lists[-1] != lists[0] and widths[-1] < 0.9 * widths[0]
    assert not set(lists[-1]) & set(map(str, test.session_state["stars"]))


def test_searching_filtering_and_dismissing(app):
    test = app("for_you")
    first = test.selectbox(key="found").options[0]
    test.selectbox(key="found").select_index(0).run()
    assert not test.exception
    test.feedback[0].set_value(1).run()
    assert list(test.session_state["stars"].values()) == [2.0] and first
    test.multiselect[0].select("Horror").run()
    shown = next(x.value for x in test.dataframe if "genres" in x.value)
    assert shown["genres"].str.contains("Horror").all() and len(shown) == 10
    skipped = press(test, "Have not seen it")
    assert len(skipped.session_state["dismissed"]) == 1 and not skipped.exception
    for label in ("surely good", "a gamble"):
        assert not test.radio[0].set_value(label).run().exception
    test = press(test, "Forget my ratings")
    assert test.session_state["stars"] == {} and not test.exception


def test_a_page_opened_with_a_model_reads_no_ratings(app, monkeypatch):
    def refuse():
        raise AssertionError("read the ratings")

    monkeypatch.setattr(state, "dataset", refuse)
    state.base.clear()
    for name in ("for_you", "explore"):
        assert not app(name).exception


def test_a_user_among_many_is_named_by_id(app, monkeypatch):
    monkeypatch.setattr(choice, "MOST_CHOICES", 100)
    test = app("for_you")
    for unknown in ("10000000", "-1", "9" * 40, "1e3", HOSTILE):
        typed(test, "A user of the training data, by id", unknown)
        press(test, "Take these ratings")
        assert not test.exception and "no such user" in test.error[0].value
    typed(test, "A user of the training data, by id", " 2 ")
    press(test, "Take these ratings")
    assert not test.exception and len(test.session_state["stars"]) == 76


def test_a_film_among_many_is_searched_for(app, monkeypatch):
    monkeypatch.setattr(choice, "MOST_CHOICES", 100)
    test = app("for_you")
    assert len(test.selectbox(key="found").options) == choice.MOST_MATCHES
    typed(test, "Search the titles", " strikes STAR back ")
    [option] = test.selectbox(key="found").options
    assert option == "Star Wars: Episode V - The Empire Strikes Back (1980)"
    test.selectbox(key="found").select_index(0).run()
    test.feedback[0].set_value(4).run()
    assert test.session_state["stars"] == {1196: 5.0} and not test.exception
    typed(test, "Search the titles", HOSTILE)
    assert not test.exception and any(text.plain(HOSTILE) in x.value for x in test.markdown)
    test = app("explore")
    typed(test, "Search the titles", "1980")
    options = test.selectbox(key="similar to").options
    assert len(options) > 20 and all("(1980)" in option for option in options)
    typed(test, "Search the titles", "no such title")
    assert not test.exception


def test_models_on_the_spot_learn_from_random_users(data):
    some = state._of_random_users(data.ratings, 20_000)
    expected = data.ratings[data.ratings["user_id"].isin(some["user_id"])]
    pd.testing.assert_frame_equal(some, expected.reset_index(drop=True))  # whole users
    assert 12_000 < len(some) < 28_000
    assert state._of_random_users(data.ratings, len(data.ratings)) is data.ratings


def test_the_ends_of_the_scale(data):
    frame = data.ratings[data.ratings["rating"].between(1, 4)].head(500)
    settings = {"rank": 0, "prior": PRIOR, "num_steps": 2}
    assert state._scale(pmf.PMF(**settings, scale=(0, 10)).fit(frame)) == (0.0, 10.0)
    fitted = pmf.PMF(**settings).fit(frame)
    assert state._scale(fitted) == (1.0, 4.0)
    fitted.fitted.rated = None  # as of a file without the ratings
    assert state._scale(fitted) == (0.5, 5.0)


def test_three_ways_for_the_same_person(app):
    test = app("contrast", stars={1: 5.0, 3114: 5.0, 4886: 4.5})
    assert not test.exception
    stars = [x.value["stars"] for x in test.dataframe if "stars" in x.value]
    assert len(stars) == 3 and all(x.between(0.5, 5).all() for x in stars)
    agree = next(x.value for x in test.dataframe if "ways" in x.value)
    assert list(agree["ways"])[-1] == "all three" and agree["of ten"].between(0, 10).all()
    assert [x.value for x in test.subheader][-1] == "Your taste by content"


def test_exploring(app):
    test = app("explore")
    assert not test.exception
    assert list(test.selectbox[0].options)[0] and len(test.tabs) == 4
    test.selectbox[0].select_index(7).run()
    assert not test.exception


def test_quality_is_of_ratings_that_were_not_fitted_to(app, data):
    test = app("quality")
    assert not test.exception and test.title[0].value == "How good is it?"
    scores = dict(zip(*test.dataframe[0].value.to_numpy().T, strict=True))
    assert int(scores["ratings"].replace(",", "")) == int(len(data.ratings) * state.HELD_OUT)
    assert 0.85 < float(scores["RMSE (stars)"]) < 1.1
    assert "%" in scores["90 % coverage"]


def test_fitting_another_model_on_the_spot(app, monkeypatch):
    drawn = []
    converged = workshop._convergence
    monkeypatch.setattr(workshop, "BETWEEN", 0.0)
    monkeypatch.setattr(
        workshop,
        "_convergence",
        lambda steps: (
            drawn.append({name: len(records) for name, records in steps.items()}),
            converged(steps),
        )[1],
    )
    test = app("workshop")
    test.slider[0].set_value(2)
    test.radio[0].set_value("als")
    test.checkbox[0].uncheck()
    press(test, "Fit")
    assert not test.exception
    scores = test.dataframe[0].value
    assert list(scores["model"]) == ["ALS, rank 2, without user biases"]
    assert 0.85 < scores["rmse"][0] < 1.1
    lengths = [lengths["ALS, rank 2, without user biases"] for lengths in drawn]
    assert len(drawn) > 3 and lengths[:3] == [1, 2, 3]  # as it converges
    test.selectbox[0].select_index(1)
    press(test, "Use it")
    assert not test.exception and test.session_state["model"].name.startswith("ALS, rank 2")


def test_hostile_titles_stay_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    plain = text.plain(HOSTILE)
    assert "<script>" not in plain.replace("\\<", "") and "\\[x\\]" in plain
    table = pd.DataFrame({"title": ["=1+1", "@cmd", "-2", "plain"], "stars": [1.0, 2, 3, -4]})
    csv = text.as_csv(table).decode()
    assert "'=1+1" in csv and "'@cmd" in csv and "'-2" in csv and ",-4" in csv
    error = AppTest.from_function(_complain, args=(f"the file\nholds {HOSTILE}",)).run().error[0]
    assert error.value == text.plain(f"the file holds {HOSTILE}")


def _complain(what: str) -> None:
    from pmf.app.state import complain
    from pmf.errors import InputError

    complain(InputError(what))


@pytest.fixture(scope="module")
def table(data, model_file):
    return person.films(data.items, pmf.load(model_file))


def test_films_and_filters(table):
    assert table["ratings"].is_monotonic_decreasing and table["title"].notna().all()
    some = person.allowed(table, person.Filters(("Horror",), (1980, 1990), 20, frozenset({1214})))
    assert len(some) and some["year"].between(1980, 1990).all() and (some["ratings"] >= 20).all()
    assert some["genres"].str.contains("Horror").all() and 1214 not in set(some["item_id"])
    bare = person.films(pd.DataFrame(), _tiny())
    assert list(bare["title"]) == [str(x) for x in bare["item_id"]]


def _tiny():
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [7, 8, 7, 9], "rating": [3.0, 4, 2, 5]})
    return pmf.PMF(0, prior=PRIOR, num_steps=2).fit(frame)


def test_an_empty_filter_is_an_empty_list(table, model_file):
    who = person.fold(pmf.load(model_file), {})
    none = person.listed(who, table, person.Filters(("No such genre",)))
    assert none.empty and {"stars", "low", "high"} <= set(none)


def test_no_more_stars_are_shown_than_there_are(table, model_file):
    films = person.listed(person.fold(pmf.load(model_file), {1: 5.0}), table, person.Filters())
    shown = person.on_scale(films, (2.0, 4.0))
    assert (films["stars"] > 4).any() and (films["low"] < 4).any() and (films["high"] > 4).any()
    for name in ("stars", "low", "high", "rating_low", "rating_high"):
        assert shown[name].tolist() == [min(max(x, 2.0), 4.0) for x in films[name]]


def test_reasons_add_up_to_the_stars(table, model_file):
    who = person.fold(pmf.load(model_file), {1: 5.0, 2: 3.0, 3114: 4.5})
    films = person.listed(who, table, person.Filters(), 3)
    reasons = person.reasons(who, films["item_id"][0], table, most=2)
    assert reasons["stars"].sum() == pytest.approx(films["stars"][0], abs=1e-4)
    assert reasons["because"].iloc[-1] == "1 other rating of yours"
    assert any("Toy Story" in line for line in person.reasons(who, 318, table)["because"])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"item_id": [1, 2], "rating": [4.0, 9.0]}, "row 2"),
        ({"movieId": [1, 2], "rating": ["=cmd()", "5"]}, "row 1"),
        ({"title": ["x"]}, "no column item_id"),
        ({"user_id": [1, 2], "item_id": [1, 2], "rating": [3.0, 3.0]}, "several users"),
        ({"item_id": range(10_001), "rating": 3.0}, "10,000 at most"),
    ],
)
def test_bad_uploads_are_refused(frame, message, table):
    with pytest.raises(InputError, match=message):
        person.uploaded(pd.DataFrame(frame), table, (0.5, 5.0))


def test_a_good_upload(table):
    frame = pd.DataFrame({"movieId": [1, 2, 10**9], "rating": [4.0, 0.5, 3.0]})
    assert person.uploaded(frame, table, (0.5, 5.0)) == {1: 4.0, 2: 0.5}


def test_average_effects_are_those_of_all_predictions():
    model = _rotatable()
    known = [model.fitted.users.values, model.fitted.items.values]
    pairs = pd.MultiIndex.from_product(known, names=["user_id", "item_id"]).to_frame(index=False)
    table = model.predict(pairs).pivot(index="user_id", columns="item_id", values="mean")
    table = table.loc[known[0], known[1]].to_numpy(float)
    for side, axis in (("user", 1), ("item", 0)):
        mean = table.mean(axis)
        effect = space.average_effect(model.fitted, side)
        np.testing.assert_allclose(effect, mean - mean.mean(), atol=1e-5)


def test_directions_do_not_depend_on_the_rotation_of_the_factors():
    model = _rotatable()
    before = space.directions(model.fitted, number=2)
    root = np.array([[2.0, 0.3], [-0.4, 0.7]])
    draws = model.fitted.fit.run.draws
    user = draws.user._replace(factor=draws.user.factor @ root)
    item = draws.item._replace(factor=draws.item.factor @ np.linalg.inv(root).T)
    fit = model.fitted.fit.with_run(draws=draws._replace(user=user, item=item))
    model.fitted.fit = fit
    after = space.directions(model.fitted, number=2)
    np.testing.assert_allclose(before[["d1", "d2"]], after[["d1", "d2"]], atol=1e-4)
    assert before["d1"].var() > before["d2"].var()


def _rotatable():
    rng = np.random.default_rng(0)
    pair = rng.permutation(600)[:400]
    frame = pd.DataFrame({"user": pair // 20, "item": pair % 20})
    frame["rating"] = 3 + np.sin(frame["user"]) * np.cos(frame["item"])
    return pmf.PMF(2, prior=pmf.IsotropicPrior(4.0, 2.0, 2.0, 4.0, 4.0), num_steps=30).fit(frame)
