"""cuDNN's interface: the numbers of its enumerations that concern graphs of operations.

`python -m tests.runtime.recorded.cudnn_interface cudnn_graph.h`, the header of the oldest version
that is served, writes cudnn_interface.json anew. The stand-in for cuDNN knows no others.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

RECORD = Path(__file__).with_suffix(".json")

PREFIXES = """
ATTR_CONVOLUTION ATTR_ENGINE ATTR_ENGINECFG_ENGINE ATTR_ENGINEHEUR ATTR_EXECUTION_PLAN ATTR_MATMUL
ATTR_OPERATIONGRAPH ATTR_OPERATION_CONVOLUTION ATTR_OPERATION_MATMUL ATTR_OPERATION_POINTWISE
ATTR_OPERATION_REDUCTION ATTR_OPERATION_RESHAPE ATTR_POINTWISE ATTR_REDUCTION ATTR_TENSOR
ATTR_VARIANT_PACK BACKEND CONVOLUTION CROSS_CORRELATION DATA HEUR_MODE NUMERICAL_NOTE POINTWISE
REDUCE_TENSOR STATUS TYPE
""".split()


def enumerators(header: str) -> dict[str, int]:
    """The numbers of the enumerators, without their common prefix."""
    found = re.findall(r"^\s*CUDNN_(\w+)\s*(?:CUDNN_\w+\s*)?=\s*(\d+)\s*,", header, re.MULTILINE)
    return {
        name: int(number)
        for name, number in found
        if any(name == p or name.startswith(p + "_") for p in PREFIXES)
    }


if __name__ == "__main__":
    header = Path(sys.argv[1]).read_text(encoding="utf-8")
    version = {
        part: int(re.findall(rf"define CUDNN_{part} (\d+)", text)[0])
        for text in [Path(sys.argv[1]).with_name("cudnn_version.h").read_text(encoding="utf-8")]
        for part in ("MAJOR", "MINOR", "PATCHLEVEL")
    }
    record = {"version": ".".join(map(str, version.values())), "numbers": enumerators(header)}
    RECORD.write_text(json.dumps(record, indent=0) + "\n", encoding="utf-8")
