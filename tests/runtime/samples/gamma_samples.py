"""Samples of the gamma function's family: see `op_samples`."""

from __future__ import annotations

import numpy as np
import scipy.special

from .kit import Sample, array

POSITIVE = {"low": 0.3, "high": 3.0}
sp = scipy.special

SAMPLES: dict[str, list[Sample]] = {
    "digamma": [Sample((array(*s, **POSITIVE),), {}, sp.digamma) for s in [(5,), (2, 3), ()]],
    "polygamma_of": [
        Sample((array(5, **POSITIVE),), {"n": n}, lambda x, n: sp.polygamma(n, x)) for n in range(3)
    ],
    "xlogy": [
        Sample((array(2, 3, **POSITIVE), array(3, seed=1, **POSITIVE)), {}, sp.xlogy),
        Sample((array(4), 1.5), {}, sp.xlogy),
    ],
    "gammainc": [
        Sample(
            (array(2, 3, **POSITIVE), array(3, seed=1, **POSITIVE)),
            {},
            sp.gammainc,
            second_order=False,
        )
    ],
    # Derivatives that have none of their own; their values are checked with the distributions.
    "gamma_slope": [
        Sample((array(4, **POSITIVE), array(4, seed=1, **POSITIVE)), gradient=False),
    ],
    "beta_slope": [
        Sample(
            (np.linspace(0.1, 0.9, 4), array(4, **POSITIVE), array(4, seed=1, **POSITIVE)),
            gradient=False,
        )
    ],
}
