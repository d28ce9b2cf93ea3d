"""A Hamiltonian as one sparse matrix, whose elements are set from the weights of its parts."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from qutip import Coefficient, Qobj, QobjEvo
from qutip import data as qutip_data
from scipy import sparse  # type: ignore[import-untyped]

Numbers = npt.NDArray[np.complex128]
Reals = npt.NDArray[np.float64]


#: Elements that are written out for each that is not zero, and in all: multiplying these is as
#: quick, and NumPy takes less time to begin with it than SciPy.
_MOST_WRITTEN_OUT: Final = 4
_LONGEST_WRITTEN_OUT: Final = 2**18


def is_weighted_sum(system: QobjEvo) -> bool:
    """Tells whether a system is made of sparse operators, each constant or with a coefficient."""
    return all(_is_known(part) for part in system.to_list())


def _is_known(part: Any) -> bool:
    operator, weight = part if isinstance(part, list) else (part, None)
    return (
        isinstance(operator, Qobj)
        and isinstance(operator.data, qutip_data.CSR)
        and (weight is None or isinstance(weight, Coefficient))
    )


class WeightedSum:
    """A sum of sparse operators, each with a weight.

    QuTiP multiplies each operator with a vector. Where many products are made with the same
    weights, it pays to add the operators first.
    """

    def __init__(self, system: QobjEvo, factor: complex) -> None:
        parts = [part if isinstance(part, list) else [part, None] for part in system.to_list()]
        self._weights: list[Coefficient | None] = [weight for _, weight in parts]
        operators = [operator.data.as_scipy() for operator, _ in parts]
        #: Bounds of the norms of the operators.
        self.norms: Reals = np.array(
            [abs(factor) * abs(each).sum(axis=1).max() for each in operators]
        )
        pattern = sparse.csr_matrix(operators[0].shape, dtype=np.bool_)
        for each in operators:
            there = np.ones(each.nnz, dtype=np.bool_)
            pattern += sparse.csr_matrix((there, each.indices, each.indptr), shape=each.shape)
        pattern.sort_indices()
        self._elements = _columns(operators, pattern)
        self._elements.data *= factor
        #: The same with the zeros written out, one row for each operator, where these are few.
        self._rows = _rows(self._elements)
        #: The sum, with the weights that were set last.
        zeros = np.zeros(pattern.nnz, dtype=np.complex128)
        self.matrix = qutip_data.CSR(
            (zeros, pattern.indices, pattern.indptr), shape=pattern.shape, copy=False
        )
        self._sum = self.matrix.as_scipy().data

    def weights(self, times: Reals) -> Numbers:
        """Returns the weights, one row for each operator, at the given times."""
        values = np.ones((len(self._weights), len(times)), dtype=np.complex128)
        moments = times.tolist()
        for row, weight in zip(values, self._weights, strict=True):
            if weight is not None:
                row[:] = [weight(moment) for moment in moments]
        return values

    def set(self, weights: Numbers) -> None:
        """Makes the matrix the sum with these weights."""
        if self._rows is None:
            self._sum[:] = self._elements @ weights
        else:
            np.dot(weights, self._rows, out=self._sum)


def _columns(operators: list[Any], pattern: Any) -> Any:
    """Returns the operators as columns of a matrix with a row for each element of their sum."""
    ends = np.cumsum([0] + [each.nnz for each in operators], dtype=np.int32)
    values = np.empty(ends[-1], dtype=np.complex128)
    rows = np.empty(ends[-1], dtype=np.int32)
    places = _places(pattern)
    for each, start, end in zip(operators, ends[:-1], ends[1:], strict=True):
        values[start:end] = each.data
        rows[start:end] = np.searchsorted(places, _places(each))
    return sparse.csc_matrix((values, rows, ends), shape=(len(places), len(operators)))


def _rows(columns: Any) -> Numbers | None:
    written_out = columns.shape[0] * columns.shape[1]
    if written_out > min(_MOST_WRITTEN_OUT * columns.nnz, _LONGEST_WRITTEN_OUT):
        return None
    return np.ascontiguousarray(columns.toarray().T)


def _places(matrix: Any) -> npt.NDArray[np.int64]:
    """Returns one number for the place of each element of a sparse matrix."""
    size = matrix.shape[0]
    rows = np.repeat(np.arange(size, dtype=np.int64), np.diff(matrix.indptr))
    places: npt.NDArray[np.int64] = rows * size + matrix.indices
    return places
