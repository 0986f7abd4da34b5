"""Operations that complex numbers have no meaning for: they compare, or are functions of reals."""

from __future__ import annotations

from ..core.dispatch import operations

ORDERED = """
lt le gt ge maximum minimum fmax fmin at_least at_most clamp_numbers heaviside sign_of_number rint
isposinf isneginf amax amin argmax argmin sort_order cummax_positions cummin_positions
relu leaky_relu hardtanh hardshrink softshrink threshold_numbers softplus softmax_over
log_softmax_over erf erfc erfinv digamma lgamma logit_within deg2rad rad2deg
"""
"""They refuse complex numbers, as PyTorch does."""

for _name in ORDERED.split():
    operations[_name].is_real = True
