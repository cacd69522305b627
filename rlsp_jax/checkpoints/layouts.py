"""How a parameter of ours lies in a published tensor: reorderings, each with its inverse.

PyTorch's linear layers are `[out, in]` with heads flattened; ours are `[*in, *out]`. Nothing is computed, so what is
read and written back is the same bit for bit. Results are views where numpy can give one.
"""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import numpy as np

Shape = tuple[int, ...]


@runtime_checkable
class Layout(Protocol):
    """One way in which a parameter may lie."""

    def stored(self, shape: Shape) -> Shape:
        """The shape of the published tensor of a parameter of this shape."""
        ...

    def read(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        """The parameter, of this shape, that a published tensor holds."""
        ...

    def write(self, parameter: np.ndarray) -> np.ndarray:
        """The published tensor of a parameter."""
        ...


@dataclasses.dataclass(frozen=True)
class Same:
    """Embeddings and norms."""

    def stored(self, shape: Shape) -> Shape:
        return shape

    def read(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        return tensor.reshape(shape)

    def write(self, parameter: np.ndarray) -> np.ndarray:
        return parameter


@dataclasses.dataclass(frozen=True)
class Flat:
    """A bias, its heads one after another."""

    def stored(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def read(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        return tensor.reshape(shape)

    def write(self, parameter: np.ndarray) -> np.ndarray:
        return parameter.reshape(-1)


@dataclasses.dataclass(frozen=True)
class Linear:
    """A matrix `[out, in]` of a kernel whose first `inputs` axes are the input."""

    inputs: int = 1

    def stored(self, shape: Shape) -> Shape:
        return math.prod(shape[self.inputs :]), math.prod(shape[: self.inputs])

    def read(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        return tensor.T.reshape(shape)

    def write(self, parameter: np.ndarray) -> np.ndarray:
        return parameter.reshape(self.stored(parameter.shape)[::-1]).T


@dataclasses.dataclass(frozen=True)
class Interleaved:
    """Heads whose first `turned` dimensions are rotated in pairs of neighbours, where ours are i and i + half."""

    inside: Layout
    turned: int

    def stored(self, shape: Shape) -> Shape:
        return self.inside.stored(shape)

    def read(self, tensor: np.ndarray, shape: Shape) -> np.ndarray:
        return self.inside.read(tensor, shape)[..., self._order(shape[-1])]

    def write(self, parameter: np.ndarray) -> np.ndarray:
        return self.inside.write(parameter[..., np.argsort(self._order(parameter.shape[-1]))])

    def _order(self, head_dim: int) -> np.ndarray:
        """Which of their dimensions each of ours is: the even ones, the odd ones, the rest."""
        dims = np.arange(head_dim)
        return np.concatenate([dims[: self.turned : 2], dims[1 : self.turned : 2], dims[self.turned :]])
