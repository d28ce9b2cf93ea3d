"""What an emulator is given, and how it says that the job is wrong.

Nothing here imports an emulator: the process that leases jobs uses these names too.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: How the Schrödinger equation is integrated: as Pulser does by default, by Verner's method of
#: order 7, by exponentials, or by whichever of these two is likely to be quicker.
Integrator: TypeAlias = Literal["default", "vern7", "magnus", "fastest"]


class JobError(Exception):
    """The job is wrong and can never succeed; the text is one sentence for its author."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a job may be before it is refused."""

    max_atoms: int = 16
    """Atoms in the register. Time and memory grow at least as 2 to this power."""
    max_qpu_atoms: int = 12
    """Atoms in the register where a QPU is emulated, whose noise takes many trajectories."""
    max_sequence_ns: int = 1_000_000
    """Duration of the sequence, in nanoseconds."""
    max_shots: int = 1_000_000
    """Shots of one measurement."""
    max_trajectories: int = 10_000
    """Noise trajectories."""
    max_result_bytes: int = 32 * 1024 * 1024
    """Size of the result file."""


@dataclass(frozen=True, slots=True)
class Task:
    """One job, with all that is needed to run it in another process."""

    device_type: str
    """Which emulator runs it."""
    sequence: str
    """Pulser's abstract representation of the sequence."""
    sequence_hash: str
    """Tells sequences apart without comparing them."""
    limits: Limits
    """What the execution service allows."""
    runs: int | None = None
    """Number of shots; None leaves it to the configuration."""
    variables_json: str | None = None
    """Values of the sequence's variables: a JSON object."""
    backend_configuration: str | None = None
    """Pulser's serialised EmulationConfig."""
    configuration_json: str | None = None
    """Legacy emulator options: a JSON object."""
    integrator: Integrator = "default"
    """What solves the sequence."""
    share: bool = False
    """Whether a task that differs from an earlier one in nothing but shots may use its states."""
