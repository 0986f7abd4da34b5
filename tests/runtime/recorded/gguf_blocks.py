"""Writes gguf_blocks.json: blocks of every type and their numbers as llama.cpp's own package `gguf`
decodes them. Run by hand where it is installed: python -m tests.runtime.recorded.gguf_blocks
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
          "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
          "IQ4_XS": [0]}  # fmt: skip
"""Where each type keeps float16 numbers, which random bytes would make infinite."""


def main() -> None:
    """Two random blocks of each type."""
    rng = np.random.default_rng(0)
    found = {}
    for name, places in HALVES.items():
        kind = GGMLQuantizationType[name]
        blocks = rng.integers(0, 256, (2, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        for at in places:
            blocks[:, at : at + 2] = rng.normal(size=(2, 1)).astype(np.float16).view(np.uint8)
        values = dequantize(blocks, kind).astype(np.float32).reshape(-1)
        found[name] = {
            "type": kind.value,
            "blocks": base64.b64encode(blocks.tobytes()).decode(),
            "values": base64.b64encode(values.tobytes()).decode(),
        }
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
