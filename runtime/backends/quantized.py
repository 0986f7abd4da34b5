"""`torch.backends.quantized`: which kernels quantized layers run on. Here all engines are one, so
the name chosen is kept and changes nothing."""

from __future__ import annotations

engine = "x86"
"""The engine chosen; `get_default_qconfig(torch.backends.quantized.engine)` has its settings."""

supported_engines = ["qnnpack", "none", "onednn", "x86", "fbgemm"]
"""The names that are taken."""
