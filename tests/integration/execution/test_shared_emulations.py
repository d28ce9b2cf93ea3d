"""Jobs that differ in nothing but shots are emulated once and measured each on its own."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pulser import NoiseModel
from pulser.backend import BitStrings, EmulationConfig, Energy
from scipy import stats

from tweezer.execution.emulators import fast_qutip, qutip_run
from tweezer.execution.emulators.free import emulate
from tweezer.execution.emulators.kept_backends import KeptBackends
from tweezer.execution.emulators.task import Task
from tweezer.execution.engines.local import LocalEngine

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

VALUES = json.dumps({"omega": 5.0, "detunings": [-8.0, 8.0], "duration": 500})
SHOTS = 200

#: Probability below which chance is no explanation; the draws are seeded in this process.
NEVER = 1e-6


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    qutip_run._kept.clear()
    np.random.seed(7)
    yield
    qutip_run._kept.clear()


@pytest.fixture
def task(make_task: Any, sweep: str) -> Any:
    def make(**fields: Any) -> Task:
        return make_task(
            sweep, **{"runs": SHOTS, "variables_json": VALUES, "share": True, **fields}
        )

    return make


def run(task: Task) -> tuple[dict[str, Any], bool]:
    """Returns the result of a task and whether it was solved for it."""
    reported: list[int] = []
    result = json.loads(emulate(task, reported.append))
    return result, bool(reported)


def assert_independent(counters: list[dict[str, int]], shots: int) -> None:
    """Fails for counts that vary between jobs more, or less, than independent draws do."""
    pooled = sum((Counter(counter) for counter in counters), Counter())
    frequent = [bits for bits, count in pooled.items() if count >= 10 * len(counters)]
    assert len(frequent) >= 2
    rows = [[c.get(bits, 0) for bits in frequent] for c in counters]
    table = np.array([[*row, shots - sum(row)] for row in rows])
    table = table[:, table.sum(axis=0) > 0]
    p = stats.chi2_contingency(table).pvalue
    # Copies of one sample would all be alike: a p of 1.
    assert NEVER < p < 1 - NEVER
    # Nor does a job know what the one before it has drawn.
    first = table[:, 0]
    assert stats.pearsonr(first[:-1], first[1:]).pvalue > NEVER


def test_the_samples_of_jobs_that_share_are_independent(task: Any) -> None:
    outcomes = [run(task()) for _ in range(300)]
    assert [solved for _, solved in outcomes] == [True] + 299 * [False]
    assert_independent([result["counter"] for result, _ in outcomes], SHOTS)


def test_they_have_the_distribution_of_the_state(
    task: Any, sweep: str, probability_of: Any
) -> None:
    from pulser import Sequence

    built = Sequence.from_abstract_repr(sweep).build(**json.loads(VALUES))
    expected = probability_of(built)
    run(task())  # is solved; all that follow are not
    drawn: Counter[str] = Counter()
    for _ in range(300):
        drawn.update(run(task())[0]["counter"])
    total = 300 * SHOTS
    bins = [bits for bits, p in expected.items() if p * total >= 10]
    observed = [drawn[bits] for bits in bins]
    wanted = [expected[bits] * total for bits in bins]
    observed.append(total - sum(observed))
    wanted.append(max(total - sum(wanted), 1e-9))
    if wanted[-1] < 5:  # too rare for the test: with the last bin
        observed[-2:], wanted[-2:] = [sum(observed[-2:])], [sum(wanted[-2:])]
    wanted = list(np.array(wanted) * total / sum(wanted))
    assert stats.chisquare(observed, wanted).pvalue > NEVER


def test_each_job_has_its_own_number_of_shots(task: Any) -> None:
    assert run(task(runs=10))[1]
    for runs in (1, 7, 5000):
        result, solved = run(task(runs=runs))
        assert not solved
        assert sum(result["counter"].values()) == runs


def test_what_is_not_drawn_is_the_same(task: Any) -> None:
    text = EmulationConfig(
        observables=[BitStrings(), Energy(evaluation_times=[0.5, 1.0])], default_num_shots=50
    ).to_abstract_repr()
    (first, solved), (second, again) = (run(task(backend_configuration=text)) for _ in range(2))
    assert (solved, again) == (True, False)
    mine, other = (json.loads(result["serialised_results"]) for result in (first, second))
    assert mine.keys() == other.keys()
    energies = [
        [values for values in results["results"].values() if isinstance(values[0], float)]
        for results in (mine, other)
    ]
    assert energies[0] == energies[1]
    assert energies[0]
    assert first["counter"] != second["counter"]


@pytest.mark.parametrize(
    "fields",
    [
        {"variables_json": json.dumps({**json.loads(VALUES), "omega": 5.1})},
        {"backend_configuration": EmulationConfig(observables=[BitStrings()]).to_abstract_repr()},
        {"configuration_json": json.dumps({"strict_validation": False})},
        {"integrator": "vern7"},
        {"share": False},
    ],
)
def test_other_jobs_are_solved(task: Any, fields: dict[str, Any]) -> None:
    assert run(task())[1]
    assert run(task(**fields))[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"configuration_json": json.dumps({"with_noise": True})},
        {
            "backend_configuration": EmulationConfig(
                observables=[BitStrings()],
                noise_model=NoiseModel(temperature=50),
                n_trajectories=3,
            ).to_abstract_repr()
        },
        {
            "backend_configuration": EmulationConfig(
                observables=[BitStrings()], noise_model=NoiseModel(dephasing_rate=0.1)
            ).to_abstract_repr()
        },
    ],
)
def test_with_noise_each_job_is_solved(task: Any, fields: dict[str, Any]) -> None:
    for _ in range(2):
        assert run(task(runs=5, **fields))[1]
    assert len(qutip_run._kept) == 0


def test_an_unknown_pulser_shares_nothing(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_qutip, "_KNOWN", "that of another version")
    fast_qutip.is_known.cache_clear()
    try:
        for _ in range(2):
            result, solved = run(task(integrator="vern7"))
            assert solved
            assert sum(result["counter"].values()) == SHOTS
    finally:
        monkeypatch.undo()
        fast_qutip.is_known.cache_clear()


async def test_samples_of_different_workers_are_independent(task: Any) -> None:
    """Each worker solves the sequence once and draws from a generator of its own."""
    async with LocalEngine(2) as engine:
        solved = 0

        def follow(percentage: int) -> None:
            nonlocal solved
            solved += 0 < percentage < 100

        files = await asyncio.gather(*(engine.run(task(), follow) for _ in range(200)))
    assert solved <= 2 * 2
    assert_independent([json.loads(file)["counter"] for file in files], SHOTS)


def test_what_is_kept_is_bounded() -> None:
    kept, backend = KeptBackends(max_bytes=100, max_kept=3), Any
    for number in range(5):
        kept.keep((number,), backend, 10)  # type: ignore[arg-type]
    assert [number for number in range(5) if kept.find((number,))] == [2, 3, 4]
    kept.keep(("large",), backend, 85)  # type: ignore[arg-type]
    assert len(kept) == 2
    kept.keep(("too large",), backend, 101)  # type: ignore[arg-type]
    assert kept.find(("too large",)) is None
    assert kept.find(("large",)) is backend
    kept.clear()
    assert len(kept) == 0
