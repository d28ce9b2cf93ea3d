"""Whether an emulation fits into the memory of its worker, told before it begins."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pulser import NoiseModel
from pulser_simulation import QutipConfig
from pulser_simulation.simulation import Solver

from tweezer.execution.emulators.program import AnySequence
from tweezer.execution.emulators.task import JobError

# What Pulser and QuTiP take, in bytes. Found by measuring the peak of emulations with 16 to 18
# atoms as pure states and with 7 to 9 as mixed ones, and rounded up.

#: Of one element of a sparse operator: a complex number and its column.
_ELEMENT: Final = 20

#: Of one amplitude.
_AMPLITUDE: Final = 16

#: Copies of the drives' operators: the parts, their sums and adjoints, in two Hamiltonians, and
#: what the integrator for many atoms adds up.
_OPERATORS: Final = 16

#: How many more where noise makes each atom's drive its own.
_DISTINCT_OPERATORS: Final = 4

#: Copies of the operators by which pairs of atoms exchange their states.
_EXCHANGE_OPERATORS: Final = 6

#: The same where they act on a mixed state: only these are large.
_MIXED_OPERATORS: Final = 3

#: Vectors that an integrator works with: the basis of an exponential, or those of Runge-Kutta.
_WORKING_VECTORS: Final = 40

#: Copies of a state that is kept for its evaluation time.
_KEPT_STATES: Final = 2

#: Kinds of noise that are different in each trajectory, so that states stay pure.
_STOCHASTIC: Final = frozenset({"doppler", "amplitude", "detuning", "register", "dmm_sigma"})

#: Kinds of noise that act by collapse operators on each atom.
_COLLAPSING: Final = frozenset({"dephasing", "relaxation", "depolarizing", "eff_noise"})

#: Where Linux says how many pages of data this process has.
_STATM: Final = Path("/proc/self/statm")


def require_memory(needed: int, give_up: Callable[[], None]) -> None:
    """Raises JobError when this process may not take that many bytes more.

    Before it does, it calls `give_up`, which gives back what can be done without.
    """
    room = _room_bytes()
    if room is not None and needed > room:
        give_up()
        room = _room_bytes()
    if room is not None and needed > room:
        raise JobError(
            f"The emulation needs about {needed / 1e9:.1f} GB of memory, and a worker has "
            f"{max(room, 0) / 1e9:.1f} GB: use fewer atoms, evaluation times or kinds of noise."
        )


def needed_bytes(
    atoms: int,
    levels: int,
    *,
    bases: int = 1,
    states: int = 1,
    collapses: int = 0,
    distinct: bool = False,
    exchanges: bool = False,
    mixed: bool,
) -> int:
    """Estimates what an emulation takes at its peak.

    `bases` is how many bases are addressed, `states` how many states are kept, `collapses` how
    many collapse operators each atom has; drives may be `distinct` for each atom, and atoms may
    interact by `exchanges`; a `mixed` state is a matrix.
    """
    size: int = levels**atoms
    # Operators that act on one atom each have as many elements as this, all together.
    elements = atoms * size // levels
    if mixed:
        # They act from the left and from the right on a matrix.
        elements, size = 2 * elements * size, size**2
    operators = (_MIXED_OPERATORS if mixed else _OPERATORS) * bases + collapses
    if not mixed:
        operators += distinct * _DISTINCT_OPERATORS
        # There are so many pairs of atoms for each atom.
        operators += exchanges * _EXCHANGE_OPERATORS * (atoms - 1) // 2
    vectors = _WORKING_VECTORS + _KEPT_STATES * states
    return _ELEMENT * operators * elements + _AMPLITUDE * vectors * size


def needed_by(sequence: AnySequence, config: QutipConfig) -> int:
    """Estimates what the emulation of a sequence takes at its peak, in bytes."""
    noise: NoiseModel = config.noise_model
    if config.prefer_device_noise_model and sequence.device.noise_model is not None:
        noise = sequence.device.noise_model
    bases = max(len(sequence.get_addressed_bases()), 1)
    collapses = len(_COLLAPSING.intersection(noise.noise_types)) + len(noise.eff_noise_opers)
    return needed_bytes(
        len(sequence.register.qubit_ids),
        1 + bases + bool(noise.with_leakage),
        bases=bases,
        states=_kept_states(sequence, config),
        collapses=collapses,
        distinct=not _STOCHASTIC.isdisjoint(noise.noise_types),
        exchanges="XY" in sequence.get_addressed_bases(),
        mixed=collapses > 0 and not _has_trajectories(noise, config.solver),
    )


def _has_trajectories(noise: NoiseModel, solver: Solver) -> bool:
    if solver is not Solver.DEFAULT:
        return solver is Solver.MCSOLVER
    return noise.state_prep_error > 0 or not _STOCHASTIC.isdisjoint(noise.noise_types)


def _kept_states(sequence: AnySequence, config: QutipConfig) -> int:
    times = {0.0, 1.0}
    for observable in config.observables:
        own = observable.evaluation_times
        wanted = config.default_evaluation_times if own is None else own
        if isinstance(wanted, str):  # "Full"
            return int(sequence.get_duration(include_fall_time=config.with_modulation)) + 1
        times.update(float(time) for time in wanted)
    return len(times)


def _room_bytes() -> int | None:
    """Returns how much more this process may allocate, or None without a limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return None
    taken = 0
    if _STATM.exists():
        taken = int(_STATM.read_text().split()[5]) * resource.getpagesize()
    return limit - taken
