"""What a Hamiltonian does over a stretch of time, as far as an integrator of order 4 sees it."""

from math import ceil, floor
from typing import Final, Self

import numpy as np

from tweezer.execution.emulators.weighted_sum import Numbers, Reals, WeightedSum

#: Nodes of Gauss and Legendre, exact for the cubic splines that QuTiP makes between samples.
_NODES: Final = np.array([0.5 - 0.5 / 3**0.5, 0.5 + 0.5 / 3**0.5])
_SHARES: Final = np.array([0.5, 0.5])


class Stretch:
    """Mean and slope of the weights of a Hamiltonian, and how much of it changes."""

    def __init__(
        self,
        nodes: Reals,
        shares: Reals,
        weights: Numbers,
        norms: Reals,
        start: float,
        end: float,
    ) -> None:
        self._nodes, self._shares, self._weights, self._norms = nodes, shares, weights, norms
        self.start, self.end, self.length = start, end, end - start
        #: Integral of each weight.
        self.mean = weights @ shares
        #: Integral of each weight times the time from the middle, in units of the length.
        self.slope = weights @ (shares * (nodes - (start + end) / 2)) / self.length
        changes = weights - self.mean[:, np.newaxis] / self.length
        squares = (changes.real**2 + changes.imag**2) @ shares / self.length
        #: Bounds the norm of the Hamiltonian's difference from its mean, on average.
        self.roughness = float(norms @ np.sqrt(squares))
        #: What the error of a step of order 4 goes with.
        self.change = self.roughness * self.length**4

    @classmethod
    def of(cls, hamiltonian: WeightedSum, start: float, end: float, cell: float) -> Self:
        """Returns a stretch of a Hamiltonian that is smooth between multiples of a time."""
        inside = np.arange(ceil(start / cell), floor(end / cell) + 1)
        ends = np.empty(len(inside) + 3)
        ends[0], ends[1], ends[2] = start, (start + end) / 2, end
        # Rounding must not lead out of the stretch.
        ends[3:] = np.minimum(np.maximum(inside * cell, start), end)
        ends.sort()
        widths = ends[1:] - ends[:-1]
        nodes = (ends[:-1, np.newaxis] + widths[:, np.newaxis] * _NODES).ravel()
        shares = (widths[:, np.newaxis] * _SHARES).ravel()
        return cls(nodes, shares, hamiltonian.weights(nodes), hamiltonian.norms, start, end)

    def halves(self) -> tuple["Stretch", "Stretch"]:
        """Returns both halves."""
        middle = (self.start + self.end) / 2
        count = int(np.searchsorted(self._nodes, middle))
        return self._part(slice(count), self.start, middle), self._part(
            slice(count, None), middle, self.end
        )

    def _part(self, part: slice, start: float, end: float) -> "Stretch":
        return Stretch(
            self._nodes[part], self._shares[part], self._weights[:, part], self._norms, start, end
        )
