"""The distribution of angles."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..autograd.grad_mode import no_grad
from ..core import dtypes
from ..core.tensor import Tensor
from ..ops.arithmetic import where
from ..ops.sampling import rand
from ..special import i0e, i1e
from . import constraints
from .distribution import Distribution
from .parameters import broadcast_all

__all__ = ["VonMises"]


class VonMises(Distribution):
    """exp(concentration * cos(x - loc)) / (2 pi I0(concentration)) for angles x in radians.

    Sampled by rejection, in double precision. Source: Best and Fisher, Efficient simulation of the
    von Mises distribution, Applied Statistics 28, 1979.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    support = constraints.real
    loc: Tensor
    concentration: Tensor

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The direction of the mean vector."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """One minus the length of the mean vector."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        c = self.concentration
        log_bessel = i0e(c).log() + c
        return c * (value - self.loc).cos() - math.log(2 * math.pi) - log_bessel

    def _proposal(self, c: Tensor) -> Tensor:
        """The parameter of the wrapped Cauchy distribution that samples are proposed from."""
        tau = 1 + (1 + 4 * c.square()).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * c)
        # For small concentrations the difference cancels: the first terms of its series.
        return where(c < 1e-5, 1 / c + c, (1 + rho.square()) / (2 * rho))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        with no_grad():
            c = self.concentration.to(dtypes.float64).expand(shape)
            r = self._proposal(self.concentration.to(dtypes.float64)).expand(shape)
            angle = c.new_empty(shape)
            done = c.new_zeros(shape, dtype=dtypes.bool_)
            while not bool(done.all()):
                u, v, side = rand((3, *shape), dtype=c.dtype, device=c.device).unbind()
                z = (math.pi * u).cos()
                f = (1 + r * z) / (r + z)
                gap = c * (r - f)
                accept = (gap * (2 - gap) - v > 0) | ((gap / v).log() + 1 - gap >= 0)
                angle = where(accept, (side - 0.5).sign() * f.acos(), angle)
                done = done | accept
            turned = angle + math.pi + self.loc.to(dtypes.float64)
            return (turned.remainder(2 * math.pi) - math.pi).to(self.loc.dtype)
