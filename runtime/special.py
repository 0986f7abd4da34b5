"""Special functions: `torch.special`."""

from __future__ import annotations

from .ops.activations import log_softmax, softmax
from .ops.arithmetic import round
from .ops.elementary import erf, erfc, erfinv, exp2, expm1, log1p
from .ops.elementary import lgamma as gammaln
from .ops.elementary import sigmoid as expit
from .ops.orthogonal_polynomials import *
from .ops.orthogonal_polynomials import NAMES as _POLYNOMIALS
from .ops.reductions import logsumexp
from .ops.special_functions import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    digamma,
    entr,
    erfcx,
    i0,
    i0e,
    i1,
    i1e,
    log_ndtr,
    logit,
    modified_bessel_k0,
    modified_bessel_k1,
    ndtr,
    ndtri,
    polygamma,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    sinc,
    spherical_bessel_j0,
    xlog1py,
    xlogy,
    zeta,
)
from .ops.special_functions import igamma as gammainc
from .ops.special_functions import igammac as gammaincc
from .ops.special_functions import mvlgamma as multigammaln

psi = digamma
modified_bessel_i0, modified_bessel_i1 = i0, i1

__all__ = [
    *_POLYNOMIALS,
    "airy_ai",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "sinc",
    "spherical_bessel_j0",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]
