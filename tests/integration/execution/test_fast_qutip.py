"""The faster backend gives what Pulser's own gives, to the last bit, or steps aside.

And the integrator: against a tight reference it is no less accurate than Pulser's own settings.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pulser import (
    AnalogDevice,
    DigitalAnalogDevice,
    MockDevice,
    NoiseModel,
    Pulse,
    RampWaveform,
    Register,
    Sequence,
)
from pulser.backend import (
    BitStrings,
    CorrelationMatrix,
    Energy,
    EnergySecondMoment,
    EnergyVariance,
    Occupation,
    StateResult,
)
from pulser.sampler import sampler
from pulser.waveforms import BlackmanWaveform, CompositeWaveform, ConstantWaveform
from pulser_simulation import QutipBackendV2, QutipConfig
from pulser_simulation.qutip_state import QutipState
from pulser_simulation.simulation import Solver

from tweezer.execution.emulators import fast_qutip
from tweezer.execution.emulators.fast_qutip import FastBackend
from tweezer.execution.emulators.task import Integrator

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser's advice for people at a prompt

AnySequence = Any
PROGRAMS: dict[str, Callable[[], AnySequence]] = {}


def program(build: Callable[[], AnySequence]) -> Callable[[], AnySequence]:
    PROGRAMS[build.__name__] = build
    return build


def chain(atoms: int, spacing: float = 7.0) -> Register:
    return Register.rectangle(1, atoms, spacing, prefix="q")


def sweep(register: Register, duration: int = 800) -> AnySequence:
    sequence = Sequence(register, MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantAmplitude(5, RampWaveform(duration, -8, 8), 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence


@program
def two_atoms() -> AnySequence:
    return sweep(chain(2, 5.0))


@program
def four_atoms() -> AnySequence:
    return sweep(chain(4))


@program
def six_close_atoms() -> AnySequence:
    return sweep(chain(6, 4.5), 400)


@program
def eight_atoms() -> AnySequence:
    return sweep(Register.rectangle(2, 4, 6.5, prefix="q"), 400)


@program
def one_atom() -> AnySequence:
    return sweep(chain(1))


@program
def parametrised() -> AnySequence:
    sequence = Sequence(chain(3), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    omega = sequence.declare_variable("omega")
    phases = sequence.declare_variable("phases", size=2)
    for phase in (phases[0], phases[1]):
        sequence.add(Pulse.ConstantDetuning(BlackmanWaveform(300, omega), -1.0, phase), "ch")
    return sequence.build(omega=2.0, phases=[0.3, 1.7])


@program
def digital() -> AnySequence:
    sequence = Sequence(chain(3), MockDevice)
    sequence.declare_channel("raman", "raman_local", initial_target="q0")
    sequence.add(Pulse.ConstantPulse(200, 4, 0.5, 0.2), "raman")
    sequence.target("q2", "raman")
    sequence.add(Pulse.ConstantPulse(150, 6, 0, 1.2), "raman")
    sequence.measure("digital")
    return sequence


@program
def both_bases() -> AnySequence:
    sequence = Sequence(chain(3), DigitalAnalogDevice)
    sequence.declare_channel("raman", "raman_local", initial_target="q0")
    sequence.declare_channel("ryd", "rydberg_local", initial_target="q1")
    sequence.add(Pulse.ConstantPulse(200, 4, 0, 0.2), "raman")
    sequence.add(Pulse.ConstantPulse(200, 6, 0, 0), "ryd")
    sequence.target("q2", "ryd")
    sequence.add(Pulse.ConstantPulse(120, 9, 2, 0), "ryd")
    sequence.measure("digital")
    return sequence


@program
def xy() -> AnySequence:
    sequence = Sequence(chain(4, 10.0), MockDevice)
    sequence.declare_channel("mw", "mw_global")
    sequence.set_magnetic_field(0, 1, 1)
    sequence.add(Pulse.ConstantPulse(300, 5, 1, 0), "mw")
    sequence.delay(300, "mw")
    sequence.add(Pulse.ConstantPulse(200, 5, 0, 1.3), "mw")
    return sequence


@program
def xy_with_mask() -> AnySequence:
    sequence = Sequence(chain(4, 10.0), MockDevice)
    sequence.declare_channel("mw", "mw_global")
    sequence.config_slm_mask(["q0", "q2"])
    sequence.add(Pulse.ConstantPulse(300, 5, 1, 0), "mw")
    sequence.add(Pulse.ConstantPulse(300, 3, 0, 0), "mw")
    return sequence


@program
def detuning_map() -> AnySequence:
    sequence = Sequence(chain(4, 6.0), MockDevice)
    weights = {f"q{number}": number / 3 for number in range(4)}
    sequence.config_detuning_map(sequence.register.define_detuning_map(weights), "dmm_0")
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(400, 5, 1, 0), "ch")
    sequence.add_dmm_detuning(RampWaveform(300, 0, -10), "dmm_0")
    return sequence


@program
def modulated() -> AnySequence:
    sequence = Sequence(chain(3, 6.0), AnalogDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(400, 5, 0, 0), "ch")
    sequence.delay(200, "ch")
    sequence.add(Pulse.ConstantPulse(200, 8, 2, 0), "ch")
    return sequence


@program
def isolated_short_pulses() -> AnySequence:
    """Short pulses between long delays: an integrator that takes large steps may miss them."""
    sequence = Sequence(chain(3, 8.0), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    for duration in (4, 16, 52):
        sequence.delay(1003, "ch")
        sequence.add(Pulse.ConstantPulse(duration, 30, 0, 0), "ch")
    sequence.delay(1000, "ch")
    return sequence


@program
def one_isolated_pulse() -> AnySequence:
    """Nothing happens at all before and after it, so that large steps suggest themselves."""
    sequence = Sequence(chain(2, 30.0), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.delay(5003, "ch")
    sequence.add(Pulse.ConstantPulse(2, 300, 0, 0), "ch")
    sequence.delay(3000, "ch")
    return sequence


@program
def steps() -> AnySequence:
    sequence = Sequence(chain(4), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    values = (-6, 3, 8, -2, 5)
    detuning = CompositeWaveform(*(ConstantWaveform(60 + 7 * i, v) for i, v in enumerate(values)))
    sequence.add(Pulse.ConstantAmplitude(9, detuning, 0), "ch")
    return sequence


@program
def ten_atoms() -> AnySequence:
    return sweep(Register.rectangle(2, 5, 7.0, prefix="q"), 200)


INTEGRATORS: tuple[Integrator, ...] = ("vern7", "magnus")

NOISE: dict[str, tuple[NoiseModel, dict[str, Any]]] = {
    "all that is drawn": (
        NoiseModel(
            temperature=50,
            amp_sigma=0.05,
            laser_waist=175,
            state_prep_error=0.1,
            p_false_pos=0.02,
            p_false_neg=0.05,
        ),
        {"n_trajectories": 4},
    ),
    "register": (
        NoiseModel(temperature=50, trap_waist=1.0, trap_depth=150.0),
        {"n_trajectories": 3},
    ),
    "detection only": (NoiseModel(p_false_pos=0.02, p_false_neg=0.05), {}),
    "dephasing": (NoiseModel(dephasing_rate=0.3, relaxation_rate=0.1), {}),
    "depolarizing": (NoiseModel(depolarizing_rate=0.3), {}),
    "leakage": (
        NoiseModel(
            eff_noise_opers=(np.diag([0.0, 0.0, 1.0]),), eff_noise_rates=(0.5,), with_leakage=True
        ),
        {},
    ),
}


def observables(sequence: AnySequence, times: list[float]) -> list[Any]:
    """Returns observables of every kind, on states, operators and the Hamiltonian."""
    states = {"ground-rydberg": "r", "digital": "h", "XY": "d"}
    bases = sequence.get_addressed_bases()
    one = states["digital" if "digital" in bases else bases[0]]
    at: dict[str, Any] = {"evaluation_times": times}
    return [
        StateResult(**at),
        BitStrings(num_shots=200, one_state=one, **at),
        Energy(**at),
        EnergyVariance(**at),
        EnergySecondMoment(**at),
        Occupation(one_state=one, **at),
        CorrelationMatrix(one_state=one, **at),
    ]


def outcome(backend: type[QutipBackendV2], sequence: AnySequence, **options: Any) -> Any:
    """Returns all that a backend says, by observable and time, after seeding the generator."""
    wanted = observables(sequence, options.pop("times", [0.0, 0.37, 1.0]))
    np.random.seed(20)
    results = backend(sequence, config=QutipConfig(observables=wanted, **options)).run()
    return {
        (tag, time): results.get_result(tag, time)
        for tag in results.get_result_tags()
        for time in results.get_result_times(tag)
    }


def bits(value: Any) -> Any:
    """Returns something that is equal only to the very same numbers."""
    return value.to_qobj().full().tobytes() if isinstance(value, QutipState) else value


def assert_identical(ours: Any, theirs: Any) -> None:
    assert ours.keys() == theirs.keys()
    assert len(ours) > 3
    for key in theirs:
        assert np.array_equal(bits(ours[key]), bits(theirs[key])), key


def test_the_installed_pulser_is_the_one_it_was_written_for() -> None:
    """Fails after an upgrade: look at what changed, then at `fast_qutip.digest()`."""
    assert fast_qutip.is_known()


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_computed_is_identical(name: str) -> None:
    sequence = PROGRAMS[name]()
    modulation = {"with_modulation": name == "modulated"}
    theirs = outcome(QutipBackendV2, sequence, **modulation)
    ours = outcome(FastBackend, sequence, **modulation)
    drawn = [key for key in theirs if key[0] == "bitstrings"]
    for key in drawn:  # fewer numbers are drawn on the way there
        assert sum(ours.pop(key).values()) == sum(theirs.pop(key).values()) == 200
    assert_identical(ours, theirs)
    # Once more, with all operators from the shelf.
    again = outcome(FastBackend, sequence, **modulation)
    assert_identical({key: again[key] for key in ours}, theirs)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("name", ["two_atoms", "four_atoms", "parametrised"])
def test_with_noise_even_the_draws_are_identical(name: str, noise: str) -> None:
    sequence, (model, options) = PROGRAMS[name](), NOISE[noise]
    options = {"noise_model": model, "times": [1.0], **options}
    assert_identical(
        outcome(FastBackend, sequence, **options), outcome(QutipBackendV2, sequence, **options)
    )


def test_monte_carlo_gets_the_same_operators() -> None:
    """QuTiP draws its jumps from a generator of its own, so that no two runs are the same."""
    options: dict[str, Any] = {"noise_model": NoiseModel(dephasing_rate=0.3)}
    config = QutipConfig(solver=Solver.MCSOLVER, n_trajectories=5, **options)
    ours, theirs = (
        backend(PROGRAMS["four_atoms"](), config=config)._sim_obj._current_hamiltonian
        for backend in (FastBackend, QutipBackendV2)
    )
    assert ours._collapse_ops == theirs._collapse_ops
    for time in (0.0, 0.1234, 0.8):
        assert np.array_equal(ours._hamiltonian(time).full(), theirs._hamiltonian(time).full())


def ramp(omega: float) -> AnySequence:
    sequence = Sequence(chain(2), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantAmplitude(omega, RampWaveform(400, -8, 8), 0), "ch")
    return sequence


def test_what_is_kept_between_jobs_changes_nothing() -> None:
    fast_qutip._interpolated.cache_clear()
    for omega in (3.0, 4.0, 3.0):
        theirs = outcome(QutipBackendV2, ramp(omega))
        ours = outcome(FastBackend, ramp(omega))
        states = [key for key in theirs if key[0] != "bitstrings"]
        assert_identical({key: ours[key] for key in states}, {key: theirs[key] for key in states})
    # The detuning of all is the same, and the amplitude of the first and the last.
    assert fast_qutip._interpolated.cache_info().hits == 3


def test_an_initial_state_and_a_sampling_rate() -> None:
    sequence = PROGRAMS["two_atoms"]()
    amplitudes = {"rg": 0.6, "gr": 0.8j}
    state = QutipState.from_state_amplitudes(eigenstates=("r", "g"), amplitudes=amplitudes)
    options: dict[str, Any] = {"initial_state": state, "sampling_rate": 0.5}
    theirs = outcome(QutipBackendV2, sequence, **options)
    ours = outcome(FastBackend, sequence, **options)
    for results in (ours, theirs):
        for key in [key for key in results if key[0] == "bitstrings"]:
            del results[key]
    assert_identical(ours, theirs)


@pytest.mark.parametrize("strict", [True, False])
def test_it_refuses_what_pulser_refuses(strict: bool) -> None:
    config = QutipConfig(observables=[BitStrings()], with_modulation=True)
    sentences = set()
    for backend in (FastBackend, QutipBackendV2):
        with pytest.raises((NotImplementedError, TypeError)) as caught:
            backend(PROGRAMS["xy_with_mask"](), config=config, mimic_qpu=strict)
        sentences.add(str(caught.value))
    assert len(sentences) == 1


def error_of(backend: QutipBackendV2, reference: Any) -> float:
    state = backend.run().final_state.to_qobj().full().ravel()
    return float(1 - abs(np.vdot(reference, state)) ** 2)


@pytest.mark.parametrize("name", PROGRAMS)
def test_integrators_are_no_less_accurate_than_the_default(name: str) -> None:
    sequence = PROGRAMS[name]()
    config = QutipConfig(
        observables=[StateResult(evaluation_times=[1.0])], with_modulation=name == "modulated"
    )
    tight = FastBackend(sequence, config=config)
    tight._qutip_options |= {
        "method": "vern9", "atol": 1e-12, "rtol": 1e-12, "max_step": 0.001, "nsteps": 10**6
    }  # fmt: skip
    reference = tight.run().final_state.to_qobj().full().ravel()
    default = error_of(QutipBackendV2(sequence, config=config), reference)
    for integrator in INTEGRATORS:
        backend = FastBackend(sequence, config=config, integrator=integrator)
        assert backend._qutip_options["method"] == integrator
        # Below 1e-10 both are as good as exact: a million shots do not tell 1e-7 from nothing.
        assert error_of(backend, reference) <= max(default, 1e-10), integrator


def test_without_a_largest_step_pulses_are_missed() -> None:
    """What the bound is there for."""
    sequence = PROGRAMS["one_isolated_pulse"]()
    config = QutipConfig(observables=[StateResult(evaluation_times=[1.0])])
    reference = FastBackend(sequence, config=config).run().final_state.to_qobj().full().ravel()
    careless = FastBackend(sequence, config=config, integrator="vern7")
    careless._qutip_options["max_step"] = 10.0
    assert error_of(careless, reference) > 0.1


def method_of(sequence: AnySequence, integrator: Integrator = "fastest", **options: Any) -> str:
    config = QutipConfig(observables=[StateResult()], **options)
    backend = FastBackend(sequence, config=config, integrator=integrator)
    return str(backend._qutip_options["method"])


def test_exponentials_are_used_where_they_are_quicker() -> None:
    close, distant = (
        sweep(Register.rectangle(2, 4, spacing, prefix="q"), 200) for spacing in (6.0, 7.0)
    )
    assert method_of(close) == "magnus"
    assert method_of(distant) == "vern7"
    assert method_of(distant, "magnus") == "magnus"
    assert method_of(PROGRAMS["six_close_atoms"]()) == "vern7"
    # Drives that differ from atom to atom make Runge-Kutta slower.
    noise = NoiseModel(temperature=50, amp_sigma=0.05)
    assert method_of(sweep(chain(10)), noise_model=noise, n_trajectories=2) == "magnus"
    # The states between steps are interpolated by Runge-Kutta.
    assert method_of(close, default_evaluation_times="Full") == "vern7"


@pytest.mark.parametrize("integrator", ["magnus", "fastest"])
def test_exponentials_are_not_used_with_collapses(integrator: Integrator) -> None:
    sequence = sweep(Register.rectangle(2, 5, 6.0, prefix="q"), 200)
    model = NoiseModel(dephasing_rate=0.3)
    mixed = {"noise_model": model, "solver": Solver.MCSOLVER, "n_trajectories": 2}
    assert method_of(sequence, integrator, **mixed) == "vern7"
    assert method_of(PROGRAMS["two_atoms"](), integrator, noise_model=model) == "vern7"


def test_states_between_from_an_initial_state() -> None:
    amplitudes = {"rgrg": 0.6, "gggr": 0.8j}
    state = QutipState.from_state_amplitudes(eigenstates=("r", "g"), amplitudes=amplitudes)
    times = [0.0, 0.1234, 0.37, 0.3712, 1.0]
    config = QutipConfig(observables=[StateResult(evaluation_times=times)], initial_state=state)
    theirs, ours = (
        FastBackend(PROGRAMS["four_atoms"](), config=config, integrator=integrator).run()
        for integrator in INTEGRATORS
    )
    assert len(theirs.state) == len(ours.state) == len(times)
    for one, other in zip(theirs.state, ours.state, strict=True):
        assert np.abs(one.to_qobj().full() - other.to_qobj().full()).max() < 1e-5


def test_trajectories_with_either_integrator() -> None:
    options: dict[str, Any] = {"noise_model": NOISE["all that is drawn"][0], "n_trajectories": 3}
    config = QutipConfig(observables=[Occupation(evaluation_times=[1.0])], **options)
    occupations = []
    for integrator in INTEGRATORS:
        np.random.seed(20)
        backend = FastBackend(PROGRAMS["four_atoms"](), config=config, integrator=integrator)
        occupations.append(np.array(backend.run().get_result("occupation", 1.0)))
    assert np.abs(occupations[0] - occupations[1]).max() < 1e-5


@pytest.mark.parametrize("noise", ["dephasing", "depolarizing"])
def test_vern7_on_mixed_states(noise: str) -> None:
    sequence, (model, _) = PROGRAMS["four_atoms"](), NOISE[noise]
    config = QutipConfig(observables=[StateResult(evaluation_times=[1.0])], noise_model=model)
    tight = FastBackend(sequence, config=config)
    tight._qutip_options |= {"method": "vern9", "atol": 1e-12, "rtol": 1e-12, "nsteps": 10**6}
    reference = tight.run().final_state.to_qobj().full()
    distances = [
        float(np.abs(backend.run().final_state.to_qobj().full() - reference).max())
        for backend in (
            FastBackend(sequence, config=config, integrator="vern7"),
            QutipBackendV2(sequence, config=config),
        )
    ]
    assert distances[0] <= max(distances[1], 1e-6)


@pytest.mark.parametrize(
    ("name", "largest_ns"),
    [
        ("four_atoms", 10),
        ("parametrised", 10),
        ("steps", 10),
        ("isolated_short_pulses", 4),
        ("one_isolated_pulse", 2),
    ],
)
def test_steps_are_no_larger_than_the_shortest_feature(name: str, largest_ns: int) -> None:
    samples = sampler.sample(PROGRAMS[name]())
    assert fast_qutip.largest_step_ns(samples) == largest_ns


def test_an_unknown_pulser_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QutipBackendV2, "__doc__", "another")
    assert fast_qutip.digest() == fast_qutip._KNOWN  # the text counts, not what became of it
    monkeypatch.setattr(fast_qutip, "_KNOWN", "that of another version")
    fast_qutip.is_known.cache_clear()
    try:
        assert not fast_qutip.is_known()
    finally:
        monkeypatch.undo()
        fast_qutip.is_known.cache_clear()
