"""Samples of the gamma function's family: see `op_samples`."""

from __future__ import annotations

import numpy as np
import scipy.special

from .kit import Sample, array

POSITIVE = {"low": 0.3, "high": 3.0}
sp = scipy.special

SAMPLES: dict[str, list[Sample]] = {
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
