"""An integrator of the Schrödinger equation for many atoms, which QuTiP's solver can be given.

The steps of a Runge-Kutta method must resolve the strongest interaction, though the state hardly
reaches where it acts. An exponential of the Hamiltonian has no such bound: its steps need only be
short enough for what changes meanwhile.
"""

from typing import Any, Final

import numpy as np
from qutip import QobjEvo, SESolver
from qutip import data as qutip_data
from qutip.solver.integrator import Integrator, IntegratorException

from tweezer.execution.emulators.lanczos import LanczosExponential, Vector
from tweezer.execution.emulators.stretch import Stretch
from tweezer.execution.emulators.weighted_sum import Numbers, WeightedSum, is_weighted_sum

#: What the integrator is called in QuTiP's options.
NAME: Final = "magnus"

#: The first step, in cells.
_FIRST: Final = 4

#: The error of a step goes with this power of its length.
_POWER: Final = 5

#: Part of the tolerance that a step aims at.
_AIM: Final = 0.7

#: A step is at most this much longer than the last, and at least this much as long.
_GROWTH: Final = 2.0
_SHRINKAGE: Final = 0.2

#: At most so many steps are done in a row without looking at their error.
_UNSEEN: Final = 20

#: How much worse than the last step whose error was seen a step may look and go unseen.
_WORSE: Final = 2.0

#: Part of a step's tolerance below which the Hamiltonian counts as constant.
_CONSTANT: Final = 0.01

#: Part of a step's tolerance that each exponential gets.
_EXPONENTIAL: Final = 0.5


#: What a Runge-Kutta method takes goes with its steps, hence with the strongest interactions, in
#: rad/us, but no less than the first; and with the elements of all operators, each of which counts
#: as some more. From that product on, and from that dimension, exponentials were quicker.
_WEAKEST: Final = 400
_OPERATOR: Final = 500
_LARGE: Final = 5e6
_LARGE_DIMENSION: Final = 256


def pays(hamiltonian: QobjEvo) -> bool:
    """Tells whether the integrator is likely to be quicker than one of Runge-Kutta."""
    if hamiltonian.shape[0] < _LARGE_DIMENSION:
        return False
    size, strongest = _OPERATOR * hamiltonian.num_elements, 0.0
    for part in hamiltonian.to_list():
        operator = (part[0] if isinstance(part, list) else part).data.as_scipy()
        size += operator.nnz
        if not isinstance(part, list):
            strongest += float(abs(operator).sum(axis=1).max())
    return bool(size * max(strongest, _WEAKEST) >= _LARGE)


def register() -> None:
    """Makes the integrator known to QuTiP's solver of the Schrödinger equation, and no other."""
    if NAME not in SESolver.avail_integrators():
        SESolver.add_integrator(MagnusIntegrator, NAME)


class MagnusIntegrator(Integrator):  # type: ignore[misc]
    """The commutator-free Magnus method of order 4 with two exponentials.

    See Blanes and Moan, Appl. Numer. Math. 56, 1519 (2006), and Alvermann and Fehske, J. Comput.
    Phys. 230, 5930 (2011). The weights of the Hamiltonian enter by their integrals rather than by
    their values at two times, so that no pulse is stepped over, however short it is.

    The error of a step is that of doing it as two halves. This makes it three times as expensive,
    so it is done for one step in a number, and for each that is likely to be worse than the last
    for which it was done. Between these, the error is taken to go with how much the Hamiltonian
    changes within a step.
    """

    integrator_options: Final = {
        "atol": 1e-9,
        "rtol": 5e-8,
        "nsteps": 100_000,
        "max_step": 0,
        "cell": 0.001,
        "krylov_dim": 32,
    }
    support_time_dependant = True
    supports_blackbox = False
    method = NAME

    @property
    def options(self) -> dict[str, Any]:
        """
        Supported options by the integrator:

        atol, rtol : float, default: 1e-9, 5e-8
            Absolute and relative tolerance of the error of each step.

        nsteps : int, default: 100000
            Max. number of steps per call.

        max_step : float, default: 0
            Longest step, 0 for no bound.

        cell : float, default: 0.001
            Time within which coefficients are as smooth as a polynomial of degree 3.

        krylov_dim : int, default: 32
            Max. number of vectors that an exponential is built from.
        """
        return dict(self._options)

    @options.setter
    def options(self, new_options: dict[str, Any]) -> None:
        Integrator.options.fset(self, new_options)

    def _prepare(self) -> None:
        if not is_weighted_sum(self.system):
            raise ValueError("The integrator takes sums of sparse operators with coefficients.")
        self.name = NAME
        # QuTiP integrates -iH.
        self._hamiltonian = WeightedSum(self.system, 1j)
        self._exponential = LanczosExponential(
            self._hamiltonian.matrix, self._options["krylov_dim"]
        )
        self._longest = self._options["max_step"] or np.inf
        self._length = min(_FIRST * self._options["cell"], self._longest)
        self._constant_length = 0.0
        self._seen: Stretch | None = None
        self._error_per_change = 0.0
        self._unseen = 0

    def set_state(self, t: float, state0: Any) -> None:
        """Sets time and state."""
        if state0.shape[1] != 1:
            raise ValueError("The integrator takes kets.")
        self._t = t
        self._state: Vector = np.array(state0.to_array(), dtype=np.complex128).ravel()
        self._is_set = True

    def get_state(self, copy: bool = True) -> tuple[float, Any]:
        """Returns time and state."""
        return self._t, qutip_data.Dense(self._state.reshape(-1, 1), copy=copy)

    def integrate(self, t: float, copy: bool = True) -> tuple[float, Any]:
        """Evolves to a time, at which a step ends."""
        for _ in range(int(self._options["nsteps"])):
            if self._t >= t:
                return self.get_state(copy)
            self._step(t)
        raise IntegratorException(
            f"More than {self._options['nsteps']} steps: try to increase nsteps or a tolerance."
        )

    def _step(self, until: float) -> None:
        norm = float(np.vdot(self._state, self._state).real) ** 0.5
        tolerance = self._options["atol"] + self._options["rtol"] * norm
        length = max(self._length, self._constant_length)
        while True:
            stretch = self._stretch(length, until)
            if stretch.roughness * stretch.length <= _CONSTANT * tolerance:
                self._state = self._apply(stretch.mean, self._state, tolerance)
                self._t = stretch.end
                self._constant_length = max(length, _GROWTH * stretch.length)
                return
            if self._constant_length:
                length, self._constant_length = self._length, 0.0
                continue
            error = self._error_per_change * stretch.change
            if error <= tolerance:
                state = self._across(stretch, self._state, tolerance)
                if self._may_go_unseen(stretch):
                    self._unseen += 1
                    break
                finer = self._state
                for half in stretch.halves():
                    finer = self._across(half, finer, tolerance)
                error = float(np.linalg.norm(state - finer))
                self._error_per_change = error / stretch.change
                if error <= tolerance:
                    state, self._seen, self._unseen = finer, stretch, 0
                    break
            length = stretch.length * _scale(error, tolerance)
        self._state, self._t = state, stretch.end
        # A step that was cut short by the end says nothing against longer ones.
        scaled = stretch.length * _scale(error, tolerance)
        self._length = scaled if scaled < stretch.length else max(scaled, length)

    def _stretch(self, length: float, until: float) -> Stretch:
        """Returns the next stretch, about that long, without a short one left before the end."""
        length, left = min(length, self._longest), until - self._t
        if left < 2 * length:
            length = left / 2 if left > length else left
        end = until if length == left else self._t + length
        if end <= self._t:
            raise IntegratorException("The steps became too short: try to increase a tolerance.")
        return Stretch.of(self._hamiltonian, self._t, end, self._options["cell"])

    def _may_go_unseen(self, stretch: Stretch) -> bool:
        seen = self._seen
        return (
            seen is not None
            and self._unseen < _UNSEEN
            and stretch.change <= _WORSE * seen.change
            and stretch.roughness <= _WORSE * seen.roughness
        )

    def _across(self, stretch: Stretch, state: Vector, tolerance: float) -> Vector:
        """Returns the state after a stretch."""
        mean, slope = stretch.mean / 2, stretch.slope * 2
        state = self._apply(mean - slope, state, _EXPONENTIAL * tolerance)
        return self._apply(mean + slope, state, _EXPONENTIAL * tolerance)

    def _apply(self, weights: Numbers, state: Vector, tolerance: float) -> Vector:
        self._hamiltonian.set(weights)
        return self._exponential.apply(state, tolerance)


def _scale(error: float, tolerance: float) -> float:
    """Returns how much longer a step may be than one with that error."""
    if error <= 0:
        return _GROWTH
    scale = float((_AIM * tolerance / error) ** (1 / _POWER))
    return min(max(scale, _SHRINKAGE), _GROWTH)
