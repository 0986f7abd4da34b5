"""Maps made of other maps for parts of a tensor, of a reshaping, or of a distribution function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Size, Tensor
from ..ops.joins import cat, stack
from . import constraints
from .parameters import sum_rightmost
from .scalar_transforms import Transform

__all__ = [
    "CatTransform", "CumulativeDistributionTransform", "IndependentTransform", "ReshapeTransform",
    "StackTransform",
]  # fmt: skip


class IndependentTransform(Transform):
    """`base_transform` with `reinterpreted_batch_ndims` more dimensions read as part of a value:
    the logarithms of volume changes are summed over them."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size=cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def domain(self) -> Any:
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> Any:
        return self.base_transform.bijective

    @property
    def sign(self) -> Any:
        return self.base_transform.sign

    def with_cache(self, cache_size: int = 1) -> Any:
        return IndependentTransform(self.base_transform, self.reinterpreted_batch_ndims, cache_size)

    def _check(self, value: Tensor, needed: int) -> None:
        if value.ndim < needed:
            raise ValueError(
                f"IndependentTransform: expected at least {needed} dimensions. Got shape "
                f"{tuple(value.shape)}."
            )

    def _call(self, x: Tensor) -> Tensor:
        self._check(x, self.domain.event_dim)
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        self._check(y, self.codomain.event_dim)
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        change = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_rightmost(change, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)

    def _parameters(self) -> Any:
        return self.base_transform, self.reinterpreted_batch_ndims

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """Values of `in_shape` read as values of `out_shape`.

    Raises: ValueError if these have not as many elements.
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError(
                "ReshapeTransform: expected shapes of equally many elements. Got "
                f"{tuple(in_shape)} and {tuple(out_shape)}."
            )

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:
        return constraints.independent(constraints.real, len(self.out_shape))

    def with_cache(self, cache_size: int = 1) -> Any:
        return ReshapeTransform(self.in_shape, self.out_shape, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(_replaced(x.shape, self.in_shape, self.out_shape))

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(_replaced(y.shape, self.out_shape, self.in_shape))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(tuple(x.shape[: x.ndim - len(self.in_shape)]))

    def forward_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _replaced(shape, self.out_shape, self.in_shape)

    def _parameters(self) -> Any:
        return self.in_shape, self.out_shape

    __hash__ = object.__hash__


def _replaced(shape: Any, old: Size, new: Size) -> Size:
    """`shape` with `new` for the `old` it ends in. Raises: ValueError if it does not."""
    cut = len(shape) - len(old)
    if cut < 0 or tuple(shape[cut:]) != tuple(old):
        raise ValueError(
            f"ReshapeTransform: expected a shape that ends in {tuple(old)}. Got {tuple(shape)}."
        )
    return Size((*shape[:cut], *new))


class _OfParts(Transform):
    """One map for each part of a tensor."""

    transforms: list[Transform]
    dim: int

    def _parts(self, value: Tensor, which: str) -> list[Tensor]:
        """The parts of `value`, a "domain" or "codomain" value."""
        raise NotImplementedError

    def _joined(self, parts: list[Tensor]) -> Tensor:
        raise NotImplementedError

    @property
    def bijective(self) -> Any:
        return all(t.bijective for t in self.transforms)

    def _call(self, x: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._parts(x, "domain"), strict=True)
        return self._joined([t(part) for t, part in pairs])

    def _inverse(self, y: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._parts(y, "codomain"), strict=True)
        return self._joined([t.inv(part) for t, part in pairs])

    def _changes(self, x: Tensor, y: Tensor) -> list[Tensor]:
        xs, ys = self._parts(x, "domain"), self._parts(y, "codomain")
        three = zip(self.transforms, xs, ys, strict=True)
        return [t.log_abs_det_jacobian(a, b) for t, a, b in three]


class CatTransform(_OfParts):
    """The maps `tseq` of successive pieces of `lengths` (1 each) along `dim`."""

    def __init__(
        self,
        tseq: Sequence[Transform],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
        cache_size: int = 0,
    ) -> None:
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        self.dim = dim
        if len(self.lengths) != len(self.transforms):
            raise ValueError(
                f"CatTransform: expected a length for each of {len(self.transforms)} transforms. "
                f"Got {self.lengths}."
            )

    @property
    def event_dim(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """Elements along `dim` in all."""
        return sum(self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    @property
    def domain(self) -> Any:
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _parts(self, value: Tensor, which: str) -> list[Tensor]:
        return list(value.split(self.lengths, self.dim))

    def _joined(self, parts: list[Tensor]) -> Tensor:
        return cat(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        changes = [
            sum_rightmost(change, self.event_dim - t.event_dim)
            for t, change in zip(self.transforms, self._changes(x, y), strict=True)
        ]
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        return cat(changes, dim) if dim < 0 else sum(changes[1:], changes[0])


class StackTransform(_OfParts):
    """The maps `tseq` of successive slices of `dim`."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    def with_cache(self, cache_size: int = 1) -> Any:
        return StackTransform(self.transforms, self.dim, cache_size)

    @property
    def domain(self) -> Any:
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _parts(self, value: Tensor, which: str) -> list[Tensor]:
        return list(value.unbind(self.dim))

    def _joined(self, parts: list[Tensor]) -> Tensor:
        return stack(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return stack(self._changes(x, y), self.dim)


class CumulativeDistributionTransform(Transform):
    """y = P(X <= x) for X of `distribution`: its values become uniform."""

    bijective = True
    codomain = constraints.unit_interval
    _sign = 1

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        return self.distribution.support

    def with_cache(self, cache_size: int = 1) -> Any:
        return CumulativeDistributionTransform(self.distribution, cache_size)

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distribution.log_prob(x)

    def _parameters(self) -> Any:
        return self.distribution

    __hash__ = object.__hash__
