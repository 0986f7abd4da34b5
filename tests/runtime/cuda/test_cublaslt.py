"""What is said of cuBLASLt's interface is what its header says, and the library agrees."""

from __future__ import annotations

import ctypes
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flambeau.backends.cuda import cublaslt, libraries, matrices, precision

from ..cupy_stand_in import blas_lt
from ..recorded import cublaslt as recorded

RECORD = json.loads(Path(recorded.__file__).with_suffix(".json").read_text(encoding="utf-8"))


def _constants(record: dict[str, Any]) -> dict[str, int]:
    return {name: value for each in record["constants"].values() for name, value in each.items()}


NUMBERS = {
    "CUBLASLT_MATMUL_DESC_TRANSA": cublaslt.TRANSA,
    "CUBLASLT_MATMUL_DESC_TRANSB": cublaslt.TRANSB,
    "CUBLASLT_MATMUL_DESC_EPILOGUE": cublaslt.EPILOGUE,
    "CUBLASLT_MATMUL_DESC_BIAS_POINTER": cublaslt.BIAS_POINTER,
    "CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT": cublaslt.BATCH_COUNT,
    "CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET": cublaslt.STRIDED_BATCH_OFFSET,
    "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": cublaslt.MAX_WORKSPACE_BYTES,
    "CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK": cublaslt.REDUCTION_SCHEME_MASK,
    "CUBLASLT_REDUCTION_SCHEME_NONE": precision.NO_SCHEME,
    "CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE": precision.WIDE_SCHEME,
    "CUBLASLT_REDUCTION_SCHEME_MASK": precision.ANY_SCHEME,
    "CUBLAS_COMPUTE_16F": matrices.COMPUTE_16F,
    **{
        f"CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_{matrix}_BYTES": number
        for matrix, number in zip("ABCD", cublaslt.MIN_ALIGNMENTS, strict=True)
    },
    "CUBLAS_COMPUTE_32F": matrices.COMPUTE_32F,
    "CUBLAS_COMPUTE_32F_FAST_TF32": matrices.COMPUTE_32F_FAST_TF32,
    "CUBLAS_COMPUTE_64F": matrices.COMPUTE_64F,
    "CUBLAS_COMPUTE_32I": matrices.COMPUTE_32I,
    "CUDA_R_16F": matrices.SORTS["float16"].operand,
    "CUDA_R_16BF": matrices.SORTS["bfloat16"].operand,
    "CUDA_R_32F": matrices.SORTS["float32"].operand,
    "CUDA_R_64F": matrices.SORTS["float64"].operand,
    "CUDA_R_8I": matrices.SORTS["int8"].operand,
    "CUDA_R_32I": matrices.SORTS["int8"].result,
}
NAMES = {"": "DEFAULT", "bias": "BIAS", "sums left": "BGRADB", "sums right": "BGRADA"}


def test_numbers_are_the_headers() -> None:
    constants = _constants(RECORD)
    assert {name: constants[name] for name in NUMBERS} == NUMBERS
    epilogues = {words: constants[f"CUBLASLT_EPILOGUE_{name}"] for words, name in NAMES.items()}
    assert epilogues == cublaslt.EPILOGUES


def test_the_stand_in_takes_what_the_header_declares() -> None:
    kinds = {"size_t": 8, "uint64_t": 8, "int64_t": 8, "int": 4, "cudaDataType": 4}
    for name, (_, _, arguments) in blas_lt.signatures.items():
        declared = RECORD["functions"][f"cublasLt{name}"]
        wanted = [
            8
            if word[-1] == "*" or word.startswith(("cublasLt", "cudaStream"))
            else kinds.get(word, 4)
            for word in declared
        ]
        wanted = [4 if "Attribute" in w else size for w, size in zip(declared, wanted, strict=True)]
        assert (name, [ctypes.sizeof(a) for a in arguments]) == (name, wanted)


def test_the_record_is_of_the_header_that_is_installed() -> None:
    spec = importlib.util.find_spec("nvidia")
    places = [] if spec is None else spec.submodule_search_locations or []
    for place in places:
        folder = Path(place) / "cu13" / "include"
        if all((folder / n).exists() for n in recorded.HEADERS):
            found = recorded.facts(folder)
            assert {n: _constants(found)[n] for n in NUMBERS} == NUMBERS
            assert (found["sizes"], found["functions"]) == (RECORD["sizes"], RECORD["functions"])
            return
    pytest.skip("The headers of cuBLAS are not installed.")


@pytest.fixture
def library() -> Iterator[Any]:
    """cuBLASLt itself, which makes descriptors without a GPU."""
    found = libraries.opened(cublaslt.LIBRARIES, cublaslt.FOLDERS)
    if found is None:
        pytest.skip("cuBLASLt is not installed.")
    before, cublaslt.functions = cublaslt.functions, found
    yield found
    cublaslt.functions = before


def test_the_library_makes_the_descriptors_and_takes_their_attributes(library: Any) -> None:
    for dtype, sort in matrices.SORTS.items():
        sums = {"float64": matrices.COMPUTE_64F, "int8": matrices.COMPUTE_32I}.get(dtype, 68)
        made = cublaslt._Description("MatmulDesc", ctypes.c_int(sums), ctypes.c_int(sort.factor))
        for attribute in (cublaslt.TRANSA, cublaslt.TRANSB, cublaslt.EPILOGUE):
            made.set(attribute, ctypes.c_int32(1))
        made.set(cublaslt.BIAS_POINTER, ctypes.c_void_p(256))
        with pytest.raises(RuntimeError, match="INVALID_VALUE"):
            made.set(cublaslt.EPILOGUE, ctypes.c_int64(1))
        cublaslt._layout(sort.operand, 4, 5, 6, 7, 30)
    preference = cublaslt._Description("MatmulPreference")
    preference.set(cublaslt.MAX_WORKSPACE_BYTES, ctypes.c_uint64(cublaslt.WORKSPACE))
    preference.set(cublaslt.REDUCTION_SCHEME_MASK, ctypes.c_uint32(2))
    for attribute in cublaslt.MIN_ALIGNMENTS:
        preference.set(attribute, ctypes.c_uint32(16))
