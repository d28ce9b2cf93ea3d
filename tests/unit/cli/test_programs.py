import math

import pytest
from pulser import Sequence

from tweezer.cli.programs import afm_sweep, max_independent_set


@pytest.mark.parametrize("module", [afm_sweep, max_independent_set])
def test_every_job_of_a_program_builds(module):
    program = module.program()
    parametrised = Sequence.from_abstract_repr(program.sequence)
    for job in program.jobs:
        built = parametrised.build(**job.variables)
        assert not built.is_parametrized()
        assert built.is_measured()
        assert job.runs == 1000


def test_the_request_names_project_device_and_jobs():
    program = afm_sweep.program(runs=7)
    body = program.as_request("project")
    assert body["project_id"] == "project"
    assert body["device_type"] == "EMU_FREE"
    assert body["open"] is False
    assert body["jobs"][0] == {"runs": 7, "variables": {"final_detuning": -2 * math.pi}}
    assert len(body["jobs"]) == len(program.jobs)


@pytest.mark.parametrize(
    ("counter", "order"),
    [
        ({"101010101": 10}, 1.0),
        ({"010101010": 10}, 1.0),
        ({"000000000": 10}, 1 / 9),
        ({"111111111": 10}, 1 / 9),
        ({"101010101": 5, "000000000": 5}, (1 + 1 / 9) / 2),
        ({"101010100": 1}, 7 / 9),
    ],
)
def test_staggered_magnetisation(counter, order):
    assert afm_sweep.staggered_magnetisation(counter) == pytest.approx(order)


def test_the_checkerboard_of_the_sweep_has_no_excited_neighbours():
    points = [
        (site // 3, site % 3) for site, bit in enumerate(afm_sweep.CHECKERBOARD) if bit == "1"
    ]
    assert len(points) == 5
    assert all(math.dist(a, b) > 1 for a in points for b in points if a != b)


def test_the_graph_is_that_of_the_atoms_in_the_sequence():
    register = max_independent_set.sequence().register
    positions = [qubit.as_array() for qubit in register.qubits.values()]
    for a, b in max_independent_set.edges():
        assert math.dist(positions[a], positions[b]) == pytest.approx(6.0, abs=0.01)
    assert len(max_independent_set.edges()) == 9


def test_the_solution_is_independent_and_nothing_can_be_added():
    (solution,) = max_independent_set.solutions()
    chosen = {site for site, bit in enumerate(solution) if bit == "1"}
    assert len(chosen) == 5
    neighbours = {site: set() for site in range(len(solution))}
    for a, b in max_independent_set.edges():
        neighbours[a].add(b)
        neighbours[b].add(a)
    for site in range(len(solution)):
        assert bool(neighbours[site] & chosen) == (site not in chosen)
