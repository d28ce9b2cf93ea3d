"""Pulser's QuTiP backend, without what it computes again for each job.

Everything that touches the inside of pulser-simulation is in this module. It overrides methods in
subclasses and changes nothing of Pulser or QuTiP in place. What is overridden depends on the text
of the classes it derives from, so callers use them only while that text is the known one, which
`is_known` tells, and Pulser's own backend otherwise. docs/performance.md has the reasons and
what is proposed to Pulser.
"""

import hashlib
import inspect
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
import qutip
from pulser import NoiseModel, Sequence
from pulser._hamiltonian_data import HamiltonianData
from pulser.backend import Results
from pulser.backend.abc import EmulatorBackend
from pulser.sampler.samples import SequenceSamples
from pulser_simulation import QutipBackendV2, QutipConfig
from pulser_simulation.hamiltonian import Hamiltonian
from pulser_simulation.simulation import HamiltonianWithReps, QutipEmulator

from tweezer.execution.emulators import magnus
from tweezer.execution.emulators.task import Integrator
from tweezer.execution.emulators.weighted_sum import is_weighted_sum

#: Digest of the classes below, as of pulser-core and pulser-simulation 1.9.1.
_KNOWN: Final = "be75d7ba0368c33b752704cf4eccfc7e9be7b78bf05cf56a266573752cbfb975"

#: Steps of the integrator are no larger than this, in nanoseconds.
_LARGEST_STEP_NS: Final = 10

#: The same where exponentials are used, in microseconds: these miss nothing within a step.
_LONGEST_STEP_US: Final = 0.1

#: States that are asked for at more times are quicker interpolated than computed one by one.
_TIMES_APART_NS: Final = 4

#: Part of a channel's range that is an edge when it is passed within 1 ns.
_EDGE: Final = 0.05

#: Largest dimension of which operators are kept, and how many of them: 40 MB at most.
_MAX_KEPT_DIMENSION: Final = 2**10
_OPERATORS_KEPT: Final = 2048

#: Longest samples of which the interpolation is kept: 16 MB at most in all.
_MAX_KEPT_SAMPLES: Final = 8192


@cache
def is_known() -> bool:
    """Tells whether the installed Pulser is the one that this module was written for."""
    try:
        return digest() == _KNOWN
    except (OSError, TypeError):  # installed without its source
        return False


def digest() -> str:
    """Returns the digest of what this module builds on."""
    text = "".join(
        inspect.getsource(part)
        for part in (Hamiltonian, HamiltonianData, QutipEmulator, QutipBackendV2, EmulatorBackend)
    )
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=16)
def _basis_and_projectors(eigenbasis: tuple[str, ...]) -> tuple[dict[Any, Any], dict[str, Any]]:
    return Hamiltonian._get_basis_op_matrices(list(eigenbasis))  # type: ignore[arg-type]


@cache
def _no_noise() -> NoiseModel:
    return NoiseModel()


@lru_cache(maxsize=16)
def _interpolated(samples: bytes, kind: str, times: bytes) -> Any:
    """Returns what QobjEvo makes of samples; in most batches, those of some channels are alike."""
    values = np.frombuffer(samples, np.dtype(kind))
    return qutip.coefficient(values, tlist=np.frombuffer(times, np.float64))


#: Operators by what they are made of; shared by all Hamiltonians, which only read them.
_operators: dict[Any, Any] = {}


class FastHamiltonian(Hamiltonian):
    """A Hamiltonian that takes the operators it is made of from those made before."""

    @staticmethod
    def _get_basis_op_matrices(eigenbasis: Any) -> tuple[dict[Any, Any], dict[str, Any]]:
        # Pulser makes these few constants under qutip.CoreOptions, which rebuilds all of QuTiP's
        # dispatchers twice each time.
        basis, projectors = _basis_and_projectors(tuple(eigenbasis))
        return dict(basis), dict(projectors)

    def _adapt_to_sampling_rate(self, full_array: Any) -> Any:
        """Returns samples as QuTiP's coefficient, which interpolates them, or as they are."""
        samples = super()._adapt_to_sampling_rate(full_array)
        times = getattr(self, "sampling_times", None)
        if times is None or len(samples) > _MAX_KEPT_SAMPLES:  # None: these are the times
            return samples
        return _interpolated(samples.tobytes(), samples.dtype.str, times.tobytes())

    def build_operator(self, operations: Any) -> Any:
        """Builds an operator, or returns the one built before."""
        key = self._key(operations)
        if key is None:
            return super().build_operator(operations)
        operator = _operators.get(key)
        if operator is None:
            operator = super().build_operator(operations)
            if len(_operators) >= _OPERATORS_KEPT:
                _operators.clear()
            _operators[key] = operator
        return operator

    def _key(self, operations: Any) -> Any:
        eigenbasis = tuple(self.basis_data.eigenbasis)
        if len(eigenbasis) ** self.n_qudits > _MAX_KEPT_DIMENSION:
            return None
        if not isinstance(operations, list):
            return None
        places: list[Any] = []
        for operator, qubits in operations:
            if not isinstance(operator, str):
                return None
            try:
                at = qubits if qubits == "global" else tuple(self._qid_index[q] for q in qubits)
            except KeyError:
                return None  # Pulser says what is wrong
            places.append((operator, at))
        return eigenbasis, self.n_qudits, tuple(places)


class FastEmulator(QutipEmulator):
    """An emulator that makes one Hamiltonian, and solves it once, where there is no noise."""

    _solved: Any = None

    @property
    def is_noiseless(self) -> bool:
        """Whether there is no noise at all, so that the same comes out each time."""
        return bool(self.noise_model == _no_noise())

    def run(self, *args: Any, **options: Any) -> Any:
        """Solves the Schrödinger equation, or returns the solution found before."""
        if not self.is_noiseless:
            return super().run(*args, **options)
        if self._solved is None:
            self._solved = super().run(*args, **options)
        return self._solved

    @property
    def _hamiltonians(self) -> Iterator[HamiltonianWithReps]:
        data = self._hamiltonian_data
        for trajectory, samples, reps in data.noisy_samples:
            yield HamiltonianWithReps(self._hamiltonian(data, trajectory, samples), reps)

    def _hamiltonian(self, data: HamiltonianData, trajectory: Any, samples: Any) -> Hamiltonian:
        return FastHamiltonian(
            samples, trajectory, data.basis_data, data.lindblad_data, self._sampling_rate
        )

    # In Pulser it is cached, and the cache keeps the last two emulators alive.
    def _get_noiseless_hamiltonian(self, leakage: bool) -> Hamiltonian:  # type: ignore[override]
        if not leakage and self.is_noiseless:
            return self._current_hamiltonian
        return super()._get_noiseless_hamiltonian(leakage)


class FastBackend(QutipBackendV2):
    """QutipBackendV2 with the emulator of this module, and a choice of the integrator."""

    def __init__(
        self,
        sequence: Sequence[Any],
        *,
        config: QutipConfig | None = None,
        mimic_qpu: bool = False,
        integrator: Integrator = "default",
    ) -> None:
        # As in QutipBackendV2, which names the class of the emulator.
        EmulatorBackend.__init__(self, sequence, config=config, mimic_qpu=mimic_qpu)
        self._sim_obj = FastEmulator.from_sequence(
            sequence,
            sampling_rate=self._config.sampling_rate,
            noise_model=self._get_noise_model(self._config, sequence.device),
            with_modulation=self._config.with_modulation,
            solver=self._config.solver,
            n_trajectories=self._config.n_trajectories,
        )
        self._sim_obj.set_evaluation_times(
            self._config._get_legacy_evaluation_times(self._sim_obj.total_duration_ns)
        )
        if self._config.initial_state:
            self._sim_obj.set_initial_state(self._config.initial_state.to_qobj())
        self._qutip_options = {
            "print_progress": self._config.print_progress,
            "progress_bar": self._config.progress_bar,
        }
        if integrator != "default":
            self._qutip_options |= self._integration(integrator)
        self._sim_obj._validate_options(self._qutip_options)

    def _integration(self, integrator: Integrator) -> dict[str, Any]:
        """Returns QuTiP's options for an integrator, or for the one that can do what it cannot."""
        if integrator != "vern7" and self._takes_magnus(only_if_quicker=integrator == "fastest"):
            magnus.register()
            return {"method": magnus.NAME, "max_step": _LONGEST_STEP_US}
        step_us = largest_step_ns(self._sim_obj.samples_obj) / 1000
        return {"method": "vern7", "max_step": step_us}

    def _takes_magnus(self, *, only_if_quicker: bool) -> bool:
        emulator = self._sim_obj
        if emulator._hamiltonian_data.lindblad_data.local_collapse_ops:
            return False  # more than the Schrödinger equation
        hamiltonian = emulator._current_hamiltonian._hamiltonian
        if not (emulator.initial_state.isket and is_weighted_sum(hamiltonian)):
            return False
        return not only_if_quicker or (
            len(emulator._eval_times_array) <= emulator.total_duration_ns / _TIMES_APART_NS
            and magnus.pays(hamiltonian)
        )

    @property
    def can_run_again(self) -> bool:
        """Whether another run may use what the first has solved."""
        return isinstance(self._sim_obj, FastEmulator) and self._sim_obj.is_noiseless

    def run_again(self, config: QutipConfig) -> Results:
        """Runs with a configuration that differs from the first in numbers of shots only.

        What is measured is drawn anew. The configuration is not checked again.
        """
        return self._run_raw(self._sim_obj, config, self._qutip_options)


def largest_step_ns(samples: SequenceSamples) -> int:
    """Returns the largest step that no feature of a sequence fits into, at most 10 ns.

    An integrator that chooses its steps by its error would step over a short pulse after a long
    delay. A feature that is shorter than the step has edges; these are told from slopes by how much
    of a channel's range they take within 1 ns. Pulser counts every slope as an edge, and so makes
    steps of 1 ns wherever anything is shaped.
    """
    distances = [_LARGEST_STEP_NS]
    for channel in samples.samples_list:
        for values in (channel.amp, channel.det, channel.phase):
            array = values.as_array(detach=True)
            changes = np.abs(np.diff(array))
            edges = np.flatnonzero(changes > _EDGE * np.ptp(array))
            if len(edges):
                distances.append(int(np.min(np.diff(edges, prepend=-1))))
    return max(min(distances), 1)
