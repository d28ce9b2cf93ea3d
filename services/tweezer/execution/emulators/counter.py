"""Counts of measured bitstrings."""

from collections.abc import Mapping

import numpy as np
from pulser.backend import Results


def final_counter(results: Results) -> dict[str, int] | None:
    """Returns the counts at the end of the sequence, or None if they were not asked for."""
    try:
        return dict(results.final_bitstrings)
    except RuntimeError:  # what Pulser raises when there are none
        return None


def measured(results: Results) -> dict[str, int]:
    """Returns the counts at the end of a sequence that was emulated to be measured there."""
    counter = final_counter(results)
    if counter is None:
        raise AssertionError("a measurement at the end of the sequence left no bitstrings")
    return counter


def exactly(shots: int, counter: Mapping[str, int]) -> dict[str, int]:
    """Returns `shots` of the counted shots, drawn at random; the counter holds as many or more.

    Shots of a trajectory are exchangeable, so what is left out biases nothing.
    """
    if sum(counter.values()) == shots:
        return dict(counter)
    drawn = np.random.default_rng().multivariate_hypergeometric(list(counter.values()), shots)
    return {bits: int(n) for bits, n in zip(counter, drawn, strict=True) if n}
