"""The base of all distributions."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from ..autograd.grad_mode import no_grad
from ..core.tensor import Size, Tensor
from . import constraints
from .parameters import common_shape, lazy_property, shape_of

__all__ = ["Distribution"]


class Distribution:
    """Random events of shape `event_shape`, one independent distribution per place of
    `batch_shape`.

    `sample(shape)` and `log_prob(value)` are of shape (shape, batch, event) and (shape, batch).
    With `validate_args` (the default unless Python runs with -O) parameters and values are checked.
    Raises: ValueError for parameters outside their constraints.

    Example:
        >>> torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
        tensor(-0.9189)
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    arg_constraints: ClassVar[dict[str, Any]]
    support: Any
    _validate_args: bool = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check parameters and values unless told otherwise.

        Raises: ValueError for anything but True and False.
        """
        if value is not True and value is not False:
            raise ValueError(f"set_default_validate_args: expected True or False. Got {value!r}.")
        Distribution._validate_args = value

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self._batch_shape, self._event_shape = shape_of(batch_shape), shape_of(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in getattr(self, "arg_constraints", {}).items():
            derived = isinstance(getattr(type(self), name, None), lazy_property)
            if constraints.is_dependent(constraint) or (derived and name not in vars(self)):
                continue
            value = getattr(self, name)
            if not isinstance(value, Tensor) or value.is_meta:
                continue
            valid = constraint.check(value)
            if not bool(valid.all()):
                raise ValueError(
                    f"{type(self).__name__}: expected {name} to lie in {constraint!r}. Got shape "
                    f"{tuple(value.shape)} with {_outside(value, valid)}. Correct it, or pass "
                    "validate_args=False."
                )

    # -- shapes ----------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters vary."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of a single event."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size((*shape_of(sample_shape), *self._batch_shape, *self._event_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with `batch_shape`, to which its own must broadcast."""
        new = copy.copy(self) if _instance is None else _instance
        batch_shape = shape_of(batch_shape)
        inner = len(self._batch_shape)
        vars(new).update(vars(self), _batch_shape=batch_shape)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                vars(new)[name] = value.expand((*batch_shape, *value.shape[inner:]))
            elif isinstance(value, Distribution):
                vars(new)[name] = value.expand(batch_shape)
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """An object to fill in an `expand` of a family of one's own, written as for PyTorch."""
        return object.__new__(type(self)) if _instance is None else _instance

    # -- what is asked of it ---------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        raise self._lacks("mean")

    @property
    def mode(self) -> Tensor:
        """The value of highest density."""
        raise self._lacks("mode")

    @property
    def variance(self) -> Tensor:
        """The expectation of the squared distance from the mean."""
        raise self._lacks("variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Random events, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Random events whose gradients flow to the parameters."""
        raise self._lacks("rsample")

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or probability, of `value`."""
        raise self._lacks("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        raise self._lacks("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise self._lacks("icdf")

    def entropy(self) -> Tensor:
        """The expectation of minus `log_prob`, over the batch."""
        raise self._lacks("entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy())."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All events of a discrete distribution, along a new first dimension."""
        raise self._lacks("enumerate_support")

    def _lacks(self, name: str) -> Exception:
        return NotImplementedError(f"{type(self).__name__} has no {name}.")

    def _validate_sample(self, value: Any) -> None:
        """Raises: ValueError unless `value` is a tensor of fitting shape inside the support."""
        name = type(self).__name__
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{name}: expected a tensor as value. Got {type(value).__name__}. Use "
                "torch.tensor(...)."
            )
        expected = self._extended_shape()
        events = len(self._event_shape)
        found = tuple(value.shape)
        fits = found[len(found) - events :] == self._event_shape
        try:
            common_shape(found, expected)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{name}: expected a value whose shape broadcasts to batch_shape "
                f"{tuple(self._batch_shape)} and ends in event_shape {tuple(self._event_shape)}. "
                f"Got {found}."
            )
        if value.is_meta or not hasattr(self, "support"):
            return
        valid = self.support.check(value)
        if not bool(valid.all()):
            raise ValueError(
                f"{name}: expected a value inside the support {self.support!r}. Got shape {found} "
                f"with {_outside(value, valid)}. Correct it, or pass validate_args=False."
            )

    def __repr__(self) -> str:
        parts = []
        for name in getattr(self, "arg_constraints", {}):
            value = vars(self).get(name)
            if value is not None:
                single = not isinstance(value, Tensor) or value.numel() == 1
                parts.append(f"{name}: {value if single else value.size()}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _outside(value: Tensor, valid: Tensor) -> str:
    """The first of the events in `value` that are not `valid`."""
    wrong = value.detach()[~valid].reshape(-1) if valid.ndim else value.detach().reshape(-1)
    listed = ", ".join(f"{v:g}" for v in wrong[:4].double().tolist())
    return listed + (", ..." if wrong.numel() > 4 else "")
