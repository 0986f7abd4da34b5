"""`torch.__config__`: what the runtime stands on."""

from __future__ import annotations

import platform

import numpy as np

from . import cuda, settings, version

__all__ = ["parallel_info", "show"]


def show() -> str:
    """Versions of what computes, a line each."""
    import scipy

    blas = (np.show_config(mode="dicts") or {}).get("Build Dependencies", {}).get("blas", {})
    lines = [
        f"Flambeau {version.release} on:",
        f"  - Python {platform.python_version()}, {platform.machine()}, {platform.system()}",
        f"  - NumPy {np.__version__}",
        f"  - SciPy {scipy.__version__}",
        f"  - BLAS {blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip(),
        f"  - CuPy for {cuda.device_count()} GPUs",
    ]
    return "\n".join(lines) + "\n"


def parallel_info() -> str:
    """How many threads compute."""
    from threadpoolctl import threadpool_info

    lines = [f"get_num_threads() : {settings.get_num_threads()}"]
    for pool in threadpool_info():
        words = pool.get("version") or "", f"{pool['num_threads']} threads"
        lines.append(f"{pool['internal_api']} {words[0]}: {words[1]}")
    return "\n".join(lines) + "\n"
