"""The integrator for many atoms, on Hamiltonians that no sequence makes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import qutip
from qutip import data as qutip_data
from qutip.solver.integrator import IntegratorException
from scipy.linalg import expm

from tweezer.execution.emulators import magnus
from tweezer.execution.emulators.lanczos import LanczosExponential
from tweezer.execution.emulators.weighted_sum import WeightedSum, is_weighted_sum

SIZE = 24
TIMES = np.arange(1001) / 1000


@pytest.fixture(autouse=True)
def registered() -> None:
    magnus.register()
    magnus.register()


def sparse_operator(numbers: np.random.Generator, scale: float) -> Any:
    elements = numbers.normal(size=(SIZE, SIZE)) + 1j * numbers.normal(size=(SIZE, SIZE))
    elements[numbers.random((SIZE, SIZE)) > 0.2] = 0
    return qutip.Qobj(scale * elements).to("CSR")


def samples(numbers: np.random.Generator) -> npt.NDArray[np.complex128]:
    """Returns a slow wave with two jumps in it."""
    wave = np.sin(2 * np.pi * numbers.random() * 2 * TIMES + numbers.random())
    jumps = np.sort(numbers.integers(50, 950, size=2))
    wave[jumps[0] : jumps[1]] += numbers.normal()
    return wave * np.exp(1j * numbers.random())


def hamiltonian(seed: int) -> Any:
    """Returns a Hermitian sum of a constant, one with a real and two with complex coefficients."""
    numbers = np.random.default_rng(seed)
    constant, real, pair = (sparse_operator(numbers, scale) for scale in (10.0, 3.0, 3.0))
    complex_samples = samples(numbers)
    return qutip.QobjEvo(
        [
            constant + constant.dag(),
            [real + real.dag(), samples(numbers).real],
            [pair, complex_samples],
            [pair.dag(), complex_samples.conj()],
        ],
        tlist=TIMES,
    )


def ket(seed: int) -> Any:
    return qutip.rand_ket(SIZE, seed=seed)


def solve(system: Any, start: Any, times: list[float], **options: Any) -> list[Any]:
    options = {"normalize_output": False, "method": magnus.NAME, **options}
    return [
        state.full().ravel()
        for state in qutip.sesolve(system, start, times, options=options).states
    ]


def reference(system: Any, start: Any, times: list[float]) -> list[Any]:
    tight = {"method": "vern9", "atol": 1e-13, "rtol": 1e-13, "max_step": 0.001, "nsteps": 10**6}
    return solve(system, start, times, **tight)


@pytest.mark.parametrize("seed", range(4))
def test_the_error_follows_the_tolerance(seed: int) -> None:
    system, start, times = hamiltonian(seed), ket(seed), [0.0, 0.1, 0.4321, 0.4322, 1.0]
    expected = reference(system, start, times)
    for tolerance in (1e-5, 1e-7, 1e-9):
        states = solve(system, start, times, atol=0.0, rtol=tolerance)
        for state, right in zip(states, expected, strict=True):
            assert np.linalg.norm(state - right) < 300 * tolerance
            assert abs(np.linalg.norm(state) - 1) < 1e-12


@pytest.mark.parametrize("seed", range(2))
def test_a_basis_that_is_too_small_takes_several_parts(seed: int) -> None:
    system, start = hamiltonian(seed), ket(seed)
    (_, expected), (_, state) = (
        reference(system, start, [0.0, 1.0]),
        solve(system, start, [0.0, 1.0], krylov_dim=6),
    )
    assert np.linalg.norm(state - expected) < 1e-5


@pytest.mark.parametrize("at", [1, 17, 401, 733, 997])
@pytest.mark.parametrize("width", [1, 2])
def test_no_pulse_is_stepped_over(at: int, width: int) -> None:
    """Nothing but the pulse changes the state, and its time does not matter."""
    pulse = np.zeros(1001)
    pulse[at : at + width] = 200.0
    system = qutip.QobjEvo(
        [qutip.sigmaz().to("CSR") * 3.0, [qutip.sigmax().to("CSR"), pulse]], tlist=TIMES
    )
    start = qutip.basis(2, 0)
    (_, expected), (_, state) = (
        reference(system, start, [0.0, 1.0]),
        solve(system, start, [0.0, 1.0]),
    )
    assert abs(expected[1]) > 0.1
    assert np.linalg.norm(state - expected) < 1e-5


def test_states_are_those_of_the_times_and_lengths_of_vectors_are_kept() -> None:
    system = qutip.QobjEvo(qutip.sigmaz().to("CSR"))
    start = 2.5 * (qutip.basis(2, 0) + qutip.basis(2, 1))
    times = [0.0, 1e-6, 0.3, 0.3 + 1e-9, 7.0]
    for time, state in zip(times, solve(system, start, times), strict=True):
        assert np.allclose(state, 2.5 * np.exp([-1j * time, 1j * time]), atol=1e-6, rtol=0)


def test_a_step_is_no_longer_than_the_longest() -> None:
    system, start = qutip.QobjEvo(qutip.sigmax().to("CSR")), qutip.basis(2, 0)
    solve(system, start, [0.0, 1.0], max_step=0.1, nsteps=20)
    with pytest.raises(IntegratorException, match="More than 20 steps"):
        solve(system, start, [0.0, 1.0], max_step=0.05, nsteps=20)


def test_only_the_schrodinger_equation_has_it() -> None:
    assert qutip.SESolver.avail_integrators()[magnus.NAME] is magnus.MagnusIntegrator
    assert magnus.NAME not in qutip.MESolver.avail_integrators()
    assert magnus.NAME not in qutip.MCSolver.avail_integrators()
    assert "cell" in qutip.SESolver(qutip.sigmaz(), options={"method": magnus.NAME}).options


@pytest.mark.parametrize(
    ("system", "start", "sentence"),
    [
        (qutip.QobjEvo(lambda t: t * qutip.sigmaz()), qutip.basis(2, 0), "sums of sparse"),
        (qutip.sigmaz().to("Dense"), qutip.basis(2, 0), "sums of sparse"),
        (qutip.sigmaz().to("CSR"), qutip.qeye(2), "kets"),
        ((1j * qutip.sigmaz()).to("CSR"), qutip.basis(2, 0), "not Hermitian"),
    ],
)
def test_what_it_does_not_take(system: Any, start: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        solve(qutip.QobjEvo(system), start, [0.0, 1.0])


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_is_the_hamiltonian(seed: int) -> None:
    system = hamiltonian(seed)
    assert is_weighted_sum(system)
    total = WeightedSum(-1j * system, 1j)
    for time in (0.0, 0.1234, 0.9):
        total.set(total.weights(np.array([time]))[:, 0])
        assert np.allclose(total.matrix.to_array(), system(time).full(), atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("largest", [6, 10, 40])
def test_exponentials(scale: float, largest: int) -> None:
    matrix = qutip.rand_herm(SIZE, seed=5) * scale
    exponential = LanczosExponential(matrix.to("CSR").data, largest)
    for seed in range(3):
        vector = ket(seed).full().ravel() * 3.0
        expected = expm(-1j * matrix.full()) @ vector
        assert np.linalg.norm(exponential.apply(vector, 1e-9) - expected) < 1e-7


def test_the_exponential_of_an_eigenvector_and_of_nothing() -> None:
    matrix = qutip_data.CSR(qutip.num(SIZE).to("CSR").data.as_scipy())
    exponential = LanczosExponential(matrix, 10)
    vector = np.zeros(SIZE, dtype=np.complex128)
    assert not exponential.apply(vector, 1e-9).any()
    vector[3] = 1.0
    assert np.allclose(exponential.apply(vector, 1e-9)[3], np.exp(-3j))
    assert exponential.products <= 2
