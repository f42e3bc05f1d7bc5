"""The phases of a fit. Catches: a time that is lost, counted twice or under another's name, a phase
that nobody is told of, a time left that was not seen in the steps.
"""

import pandas as pd
import pytest
from rich.progress import Progress

import pmf
from pmf.data.synthetic import movielens_shaped
from pmf.fitting import phases
from pmf.fitting.phases import Clock, phases_in_words
from pmf.fitting.progress import Watch

PRIOR = pmf.IsotropicPrior(1.5, 15.0, 15.0, 3.0, 3.0)


class Time:
    """A time that is set by hand."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> Time:
    by_hand = Time()
    monkeypatch.setattr(phases, "time", by_hand)
    return by_hand


def spend(clock: Clock, time: Time, name: str, seconds: float) -> None:
    with clock.phase(name):
        time.now += seconds


def test_phases_and_the_rest_are_all_of_the_time(time):
    told = []
    clock = Clock(lambda *step: told.append(step))
    for name, seconds in (("reading", 4.0), ("layout", 0.5), ("search", 9.0), ("layout", 0.25)):
        spend(clock, time, name, seconds)
    time.now += 2.0
    clock.add("sweeps", 1.5)
    by_phase = {"reading": 4.0, "layout": 0.75, "search": 9.0, "sweeps": 1.5, "rest": 0.5}
    assert clock.seconds() == by_phase and list(clock.seconds()) == list(by_phase)
    assert told[:4] == [(name, j, 1) for name in ("reading", "laying out") for j in (0, 1)]


def test_sweeps_of_an_earlier_process_count_but_their_rest_does_not(time):
    clock = Clock()
    spend(clock, time, "compilation", 2.0)
    clock.resume(30.0)
    time.now += 1.0
    clock.add("sweeps", 1.0)
    assert clock.seconds() == {"compilation": 2.0, "sweeps": 31.0, "rest": 0.0}


def test_a_phase_that_fails_is_not_said_to_have_ended():
    told = []
    with pytest.raises(KeyboardInterrupt), Clock(lambda *step: told.append(step)).phase("reading"):
        raise KeyboardInterrupt
    assert told == [("reading", 0, 1)]


def test_are_said_in_one_line():
    by_phase = {"reading": 4.06, "search": 300.0, "compilation": 2.0, "sweeps": 8.9, "rest": 0.04}
    assert phases_in_words(by_phase, "12 sweeps") == (
        "read 4.1 s · chose the prior 5.0 min · compiled 2.0 s · 12 sweeps 8.9 s · the rest 0.0 s"
    )


@pytest.fixture(scope="module")
def frame():
    columns = movielens_shaped(0, n=600, users=60, items=90)
    return pd.DataFrame(dict(zip(("user", "item", "rating"), columns, strict=True)))


def test_a_fit_names_its_phases_and_records_them(frame):
    told = []
    model = pmf.PMF(2, prior=PRIOR, num_steps=3, tolerance=0.0)
    model.fit(frame, frame[:9], lambda *step: told.append(step))
    names = list(dict.fromkeys(name for name, _, _ in told))
    assert names == ["reading", "laying out", "compiling", "als"]
    assert [step for name, *step in told if name == "als"] == [[j, 3] for j in range(4)]
    assert list(model.phases) == ["reading", "layout", "compilation", "sweeps", "rest"]
    assert min(model.phases.values()) >= 0
    assert model.phases["sweeps"] == pytest.approx(model.records[-1].seconds)
    assert model.phases["compilation"] >= model.fitted.fit.compile_seconds > 0


@pytest.mark.parametrize("method", ["als", "gibbs"])
def test_a_search_tells_of_its_candidates(frame, method):
    told = []
    steps = {"num_steps": 2} | ({"burn_in": 1, "num_chains": 1} if method == "gibbs" else {})
    model = pmf.PMF(2, method=method, **steps)
    model.fit(frame, on_step=lambda *step: told.append(step))
    names = [name for name in dict.fromkeys(x for x, _, _ in told) if name.startswith("choosing")]
    candidates = [f"choosing the prior: candidate {j + 1}" for j in range(len(names))]
    trials = len(model.fitted.fit.search.trials)
    first = names[:-trials]
    assert names[-trials:] == candidates[:trials]
    assert first == ["choosing the prior", *["choosing the prior: variances"][: method == "als"]]
    of_one = [step for name, *step in told if name == names[-1]]
    assert [step for step, _ in of_one] == list(range(1, len(of_one) + 1))
    assert of_one[0][1] >= len(of_one)


def test_a_resumed_fit_counts_the_sweeps_of_both_processes(frame, tmp_path):
    class Stop(Exception):
        pass

    def stop(record):
        if record.step == 3:
            raise Stop

    def fit(resume, on_record):
        checkpoints = pmf.Checkpoints(tmp_path / "kept", every_steps=1, resume=resume)
        model = pmf.PMF(2, prior=PRIOR, num_steps=5, tolerance=0.0)
        return model.fit(frame, checkpoints=checkpoints, on_record=on_record)

    with pytest.raises(Stop):
        fit(False, stop)
    model = fit(True, lambda record: None)
    assert model.phases["sweeps"] == pytest.approx(model.records[-1].seconds)
    assert model.phases["rest"] > 0


# --- what a person sees ---------------------------------------------------------------------------


@pytest.fixture
def watch() -> tuple[Watch, Time]:
    by_hand = Time()
    return Watch(Progress(disable=True, get_time=by_hand.perf_counter), "a run:"), by_hand


def test_the_time_left_is_that_of_the_steps_at_their_pace_so_far(watch):
    seen, time = watch
    seen.on_step("reading", 0, 1)
    time.now = 4.0
    assert seen.in_words() == "a run: reading, 4 s"
    seen.on_step("reading", 1, 1)
    for step, now in ((0, 5.0), (1, 15.0), (2, 17.0)):  # the first sweep is a slow one
        time.now = now
        seen.on_step("als", step, 10)
    assert seen.in_words() == "a run: als, 2/10, 12 s, at most 16 s left"
    time.now = 100.0  # however long a sweep takes
    seen.on_step("als", 3, 10)
    assert seen.in_words() == "a run: als, 3/10, 2 min, at most 5 min left"


def test_one_step_says_nothing_of_the_time_left(watch):
    seen, time = watch
    seen.on_step("gibbs", 0, 10)
    time.now = 3.0
    seen.on_step("gibbs", 1, 10)
    assert seen.in_words() == "a run: gibbs, 1/10, 3 s"


def test_a_resumed_run_has_the_pace_of_its_own_steps(watch):
    seen, time = watch
    for step in (50, 51, 52):
        seen.on_step("gibbs", step, 60)
        time.now += 2.0
    assert seen.in_words() == "a run: gibbs, 52/60, 6 s, at most 16 s left"


def test_a_search_may_tell_of_its_candidates_and_stops_before_the_bound(watch):
    seen, time = watch
    seen.on_step("choosing the prior", 0, 1)
    for done in (1, 2, 3):
        time.now += 1.0
        seen.on_step("choosing the prior: candidate 1", done, 40)
    words = "a run: choosing the prior: candidate 1, 3/40, 3 s, at most 37 s left"
    assert seen.in_words() == words
    seen.on_step("choosing the prior: candidate 2", 1, 20)
    assert seen.in_words().startswith("a run: choosing the prior: candidate 2, 1/20, 3 s")
    seen.on_step("choosing the prior", 1, 1)
    seen.on_step("compiling", 0, 1)
    time.now += 2.0
    search, compiling = seen.progress.tasks  # a line for each phase
    assert search.finished and search.description == "a run: choosing the prior"
    assert not compiling.finished and seen.in_words() == "a run: compiling, 2 s"


def test_laying_out_twice_in_a_row_is_one_phase(watch):
    seen, time = watch
    for _ in range(2):
        seen.on_step("laying out", 0, 1)
        time.now += 1.0
        seen.on_step("laying out", 1, 1)
    seen.end()
    assert [task.finished_time for task in seen.progress.tasks] == [2.0]
