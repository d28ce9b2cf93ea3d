"""The exponential of a Hermitian matrix, applied to a vector by the method of Lanczos."""

from math import log
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from qutip import data as qutip_data
from scipy.linalg import blas, lapack  # type: ignore[import-untyped]

Vector = npt.NDArray[np.complex128]

#: A vector of the basis with less than this of it new ends the basis: nothing is left to find.
_NOTHING: Final = 1e-13

#: What overlaps that should be real may have of an imaginary part.
_SKEW: Final = 1e-9

#: Where the largest basis does not reach a whole exponential, parts of it are tried, each so much
#: shorter than the last.
_SHORTER: Final = 0.8


class LanczosExponential:
    """Applies exp(-iA), for Hermitian A with elements that may change from one use to the next.

    The basis grows until the error that is left is below a tolerance, so that its size follows how
    much of the spectrum of A the vector reaches, not how wide it is. See Hochbruck and Lubich,
    SIAM J. Numer. Anal. 34, 1911 (1997). The vectors of the basis are not made orthogonal again:
    at the few tens that are used, they stay so well within the tolerances.
    """

    def __init__(self, matrix: qutip_data.CSR, largest_basis: int) -> None:
        self._matrix, self._largest = matrix, largest_basis
        size = matrix.shape[0]
        # QuTiP multiplies on the same memory that NumPy and BLAS combine.
        self._basis = np.empty((largest_basis + 1, size), dtype=np.complex128)
        self._rows = list(self._basis)
        self._columns = [qutip_data.Dense(row.reshape(size, 1), copy=False) for row in self._rows]
        self._expected = 8  # how many vectors the last exponential took
        self.products = 0

    def apply(self, vector: Vector, tolerance: float) -> Vector:
        """Returns exp(-iA) times a vector, off by no more than the tolerance."""
        left = 1.0
        while left > 0:
            vector, done = self._advance(vector, left, tolerance)
            left = 0.0 if done > 0.999999 * left else left - done
        return vector

    def _advance(self, vector: Vector, left: float, tolerance: float) -> tuple[Vector, float]:
        """Returns exp(-isA) times a vector, and s: `left`, or less if the basis is too small."""
        norm: float = blas.dznrm2(vector)
        if norm == 0:
            return vector, left
        self._basis[0] = vector
        diagonal: list[float] = []
        lengths = [norm]
        until = min(self._expected, self._largest)
        allowed = tolerance / norm
        while True:
            exhausted = self._extend(diagonal, lengths, until)
            values, vectors = _eigen(diagonal, lengths[1:-1])
            amplitudes = _exponential(values, vectors, left)
            error = _error(amplitudes, lengths, len(diagonal))
            if exhausted or error <= allowed:
                self._expected = _needed(amplitudes, lengths, allowed)
                break
            if len(diagonal) == self._largest:
                self._expected = self._largest
                while _error(amplitudes, lengths, self._largest) > allowed:
                    left *= _SHORTER
                    amplitudes = _exponential(values, vectors, left)
                break
            missing = int(log(error / allowed) / 2)
            until = min(until + min(max(missing, 1), 8), self._largest)
        amplitudes *= norm / np.array(lengths[:-1])
        return blas.zgemv(1, self._basis[: len(diagonal)].T, amplitudes), left

    def _extend(self, diagonal: list[float], lengths: list[float], until: int) -> bool:
        """Extends the basis to a number of vectors; tells whether it spans all there is.

        The vectors keep the lengths that they come out with, which saves a pass over each.
        """
        rows, columns, matrix = self._rows, self._columns, self._matrix
        for last in range(len(diagonal), until):
            vector, following, length = rows[last], rows[last + 1], lengths[last]
            if last:
                np.multiply(rows[last - 1], -length / lengths[last - 1], out=following)
            else:
                following.fill(0)
            _multiply_add(matrix, columns[last], 1 / length, columns[last + 1])
            self.products += 1
            overlap: complex = blas.zdotc(vector, following) / length
            if abs(overlap.imag) > _SKEW * (1 + abs(overlap)):
                raise ValueError("The matrix is not Hermitian.")
            diagonal.append(overlap.real)
            blas.zaxpy(vector, following, a=-overlap.real / length)
            length = blas.dznrm2(following)
            lengths.append(length)
            if length < _NOTHING:
                return True
        return False


#: Adds the product of a matrix and a vector, times a number, to a vector.
_multiply_add: Final[Any] = qutip_data.matmul_csr_dense_dense


def _eigen(diagonal: list[float], beside: list[float]) -> tuple[Any, Any]:
    """Returns eigenvalues and eigenvectors of a real tridiagonal matrix."""
    if len(diagonal) == 1:
        return np.array(diagonal), np.ones((1, 1))
    values, vectors, failed = lapack.dstev(np.array(diagonal), np.array(beside))
    if failed:
        raise ArithmeticError("The eigenvalues of a tridiagonal matrix were not found.")
    return values, vectors


def _exponential(values: Any, vectors: Any, duration: float) -> Vector:
    """Returns the first column of the exponential of a small matrix."""
    column: Vector = vectors @ (np.exp(-1j * duration * values) * vectors[0])
    return column


def _error(amplitudes: Vector, lengths: list[float], size: int) -> float:
    """Returns the error that a basis of that size has left.

    It is what has flown out of the last vector in all: amplitudes that small have grown like that
    power of the time. They may also pass zero, so that the last two are looked at.
    """
    flow: float = abs(amplitudes[size - 1]) * lengths[size] / size
    return (
        max(flow, abs(amplitudes[size - 2]) * lengths[size - 1] / (size - 1)) if size > 1 else flow
    )


def _needed(amplitudes: Vector, lengths: list[float], allowed: float) -> int:
    """Returns the size of the basis that would have been enough: the next may take as many."""
    size = len(amplitudes)
    while size > 1 and _error(amplitudes, lengths, size - 1) <= allowed:
        size -= 1
    return size
