"""Measured bitstrings follow the distribution of the same program run locally.

Each program is run here on `QutipBackendV2` for its exact final probabilities, and 5,000 shots of
it on the stack are compared with them by Pearson's chi-square test. A correct system fails one
comparison with probability FALSE_ALARM / COMPARISONS, so that the whole file fails by chance in
one of a million runs.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from pasqal_cloud import PasqalCloudConnection, RemoteEmuFreeBackend
from pulser import Pulse, Register, Sequence
from pulser.backend import StateResult
from pulser.devices import AnalogDevice
from pulser.waveforms import BlackmanWaveform, RampWaveform
from pulser_simulation import QutipBackendV2, QutipConfig
from scipy.stats import chisquare

SHOTS = 5000
FALSE_ALARM = 1e-6
COMPARISONS = 2

#: Cells that are expected less often are put together: the approximation needs this many.
LEAST_EXPECTED = 5.0


def two_atoms() -> Sequence:
    """Two atoms that hinder each other only in part: all four states occur, unlike often."""
    register = Register.from_coordinates([(0, 0), (8, 0)], prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    area = sequence.declare_variable("area")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(BlackmanWaveform(700, area), 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


def six_atoms() -> Sequence:
    """Six atoms without any symmetry, so that mixed-up atoms show."""
    coordinates = [(0, 0), (6, 1), (12, 0), (1, 7), (7, 8), (20, 3)]
    register = Register.from_coordinates(coordinates, prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    end = sequence.declare_variable("end")
    sequence.declare_channel("rydberg", "rydberg_global")
    sweep = RampWaveform(1200, -10.0, end)
    sequence.add(Pulse.ConstantAmplitude(6.0, sweep, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


def probabilities(sequence: Sequence) -> dict[str, float]:
    """Returns the exact probability of each bitstring at the end."""
    config = QutipConfig(observables=[StateResult(evaluation_times=[1.0])])
    state = QutipBackendV2(sequence, config=config).run().final_state
    return dict(state.bitstring_probabilities(one_state="r", cutoff=0.0))


def p_value(counts: Mapping[str, int], expected: Mapping[str, float]) -> float:
    """Returns how likely counts at least as strange as these are."""
    shots = sum(counts.values())
    cells = {bits: share * shots for bits, share in expected.items()}
    common = [bits for bits, share in cells.items() if share >= LEAST_EXPECTED]
    observed = [counts.get(bits, 0) for bits in common]
    predicted = [cells[bits] for bits in common]
    rest = shots - sum(predicted)
    observed.append(shots - sum(observed))
    predicted.append(rest)
    if rest < LEAST_EXPECTED:
        # Too rare for a cell of its own: it joins the rarest of the others.
        rarest = int(np.argmin(predicted[:-1]))
        observed[rarest] += observed.pop()
        predicted[rarest] += predicted.pop()
    return float(chisquare(observed, predicted).pvalue)


@pytest.mark.parametrize(
    ("sequence", "variables"),
    [(two_atoms(), {"area": 2.5}), (six_atoms(), {"end": 12.0})],
    ids=["2 atoms", "6 atoms"],
)
def test_shots_follow_the_local_distribution(
    sequence: Sequence, variables: dict[str, float], connection: PasqalCloudConnection
):
    results = RemoteEmuFreeBackend(sequence, connection).run(
        job_params=[{"runs": SHOTS, "variables": variables}], wait=True
    )
    counts = results.results[0].final_bitstrings
    assert sum(counts.values()) == SHOTS
    exact = probabilities(sequence.build(**variables))
    assert p_value(counts, exact) > FALSE_ALARM / COMPARISONS


def test_the_test_sees_a_wrong_distribution():
    exact = probabilities(six_atoms().build(end=12.0))
    shots = np.random.default_rng(1).multinomial(SHOTS, list(exact.values()))
    right = dict(zip(exact, (int(n) for n in shots), strict=True))
    mirrored = {bits[::-1]: n for bits, n in right.items()}
    assert p_value(right, exact) > FALSE_ALARM / COMPARISONS
    assert p_value(mirrored, exact) < FALSE_ALARM / COMPARISONS
