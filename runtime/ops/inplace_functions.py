"""In-place operations as functions: `torch.abs_(x)` is `x.abs_()`."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from . import methods as methods  # gives tensors what is called here

NAMES = """
abs acos acosh addmv arccos arccosh arcsin arcsinh arctan arctanh as_strided asin asinh atan atanh
ceil clamp clamp_max clamp_min clip conj_physical cos cosh deg2rad detach erf erfc exp exp2 expm1
fix floor frac gcd i0 index_put lcm ldexp log log10 log1p log2 logit nan_to_num neg negative rad2deg
reciprocal relu round rsqrt sigmoid sin sinc sinh sqrt square tan tanh trunc xlogy
"""

__all__ = [f"{name}_" for name in NAMES.split()]


def _function(method: Any, name: str) -> Any:
    def function(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return method(input, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`input.{name}(...)`: writes into input and returns it."
    return function


for _name in __all__:
    globals()[_name] = _function(getattr(Tensor, _name), _name)
