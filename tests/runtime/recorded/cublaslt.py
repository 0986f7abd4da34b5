"""Records the numbers and types of cublasLt.h that the runtime relies on, in cublaslt.json.

python -m tests.runtime.recorded.cublaslt .../nvidia/cu13/include
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HEADERS = ("cublasLt.h", "cublas_api.h", "library_types.h")
ENUMERATIONS = (
    "cublasLtMatmulDescAttributes_t", "cublasLtMatrixLayoutAttribute_t",
    "cublasLtMatmulPreferenceAttributes_t", "cublasLtEpilogue_t", "cublasLtReductionScheme_t",
    "cublasStatus_t", "cublasComputeType_t", "cudaDataType",
)  # fmt: skip
FUNCTIONS = (
    "cublasLtCreate", "cublasLtGetStatusName", "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescDestroy", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy", "cublasLtMatrixLayoutSetAttribute",
    "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul",
)  # fmt: skip
BYTES = {"int32_t": 4, "uint32_t": 4, "int64_t": 8, "uint64_t": 8, "float": 4, "int8_t": 1}


def _members(text: str, name: str) -> str:
    body = re.search(r"enum[^{}]*\{([^{}]*)\}\s*" + name + r"\b", text)
    assert body is not None, name
    return body[1]


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def constants(text: str, name: str) -> dict[str, int]:
    """The members of an enumeration."""
    found: dict[str, int] = {}
    members = _without_comments(_members(text, name))
    for member, value in re.findall(r"(\w+)\s*=\s*([^,\n]+)", members):
        found[member] = int(eval(value.strip(), {}, dict(found)))
    return found


def sizes(text: str, name: str) -> dict[str, int]:
    """Bytes of the attributes of an enumeration: comments before them name the types."""
    found = {}
    pairs = re.findall(r"/\*\*(.*?)\*/\s*(\w+)\s*=", _members(text, name), flags=re.S)
    for comment, member in pairs:
        named = re.search(r"^[\s*]*(\w+)\b[^\n]*, default", comment, flags=re.M)
        if "void *, default" in comment:
            found[member] = 8
        elif named and named[1] in BYTES:
            found[member] = BYTES[named[1]]
    return found


def parameters(text: str, name: str) -> list[str]:
    """The types of a function's parameters."""
    found = re.search(name + r"\(([^)]*)\)", _without_comments(text))
    assert found is not None, name
    words = [word.strip() for word in found[1].split(",")]
    return [re.sub(r"\s*\w+(\[\])?$", r"\1", word).replace("[]", "*") for word in words]


def facts(folder: Path) -> dict[str, Any]:
    """All that is recorded, from the headers of a folder."""
    text = "".join((folder / name).read_text(encoding="utf-8") for name in HEADERS)
    version = [re.search(rf"CUBLAS_VER_{part} (\d+)", text) for part in ("MAJOR", "MINOR")]
    return {
        "version": ".".join(v[1] for v in version if v),
        "constants": {name: constants(text, name) for name in ENUMERATIONS},
        "sizes": {name: sizes(text, name) for name in ENUMERATIONS[:3]},
        "functions": {name: parameters(text, name) for name in FUNCTIONS},
    }


if __name__ == "__main__":
    place = Path(__file__).with_suffix(".json")
    text = json.dumps(facts(Path(sys.argv[1])), indent=1)
    place.write_text(text + "\n", encoding="utf-8")
