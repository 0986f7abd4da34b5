"""The plans that cuDNN has for our graphs on an H200, of which it is told in words.

Neither a driver nor a GPU is needed, only the library (9.8 or newer), cuBLASLt, NVRTC and a C
compiler.

`python -m tests.runtime.recorded.cudnn_plans .../libcudnn.so.9` writes cudnn_plans.json anew, and
shows what changed. The stand-in for cuDNN takes the graphs of attention that are recorded here.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flambeau.backends.cuda import cublaslt, libraries, nvrtc
from flambeau.backends.cuda.cudnn import attention, convolution, plans
from flambeau.backends.cuda.cudnn import descriptors as d
from flambeau.backends.cuda.cudnn.library import Library

from .. import cudnn_stand_in
from ..cudnn_stand_in.graphs import word

RECORD = Path(__file__).with_suffix(".json")
H200 = {
    "deviceName": "NVIDIA H200", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0,
    "totalGlobalMem": 150_000_000_000, "maxGridSize": [2147483647, 65535, 65535],
    "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "multiProcessorCount": 132,
    "smCountOrigin": 0, "warpSize": 32, "maxSharedMemoryPerBlock": 49152,
    "maxSharedMemoryPerBlockOptin": 232448, "oversizedSharedMemoryPerBlock": 232448,
    "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
    "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0,
    "supportCoopLaunch": 1, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000,
    "memoryBusWidth": 6144, "l2CacheSize": 62914560,
}  # fmt: skip
DEVICE, DESCRIPTION, TEXT = 38, 2702, 24
HEURISTICS_DEVICE, PLAN_DEVICE, ENGINE_NUMBER = 204, 407, 1301
"""A kind of descriptors and attributes that only this script needs, of cuDNN 9.8."""

DRIVER = """
#define REFUSED(name) int name() { return 999; }
#define DONE(name) int name() { return 0; }
#define GIVEN(name) int name(void** p) { *p = (void*)4096; return 0; }
#define ZERO(name) int name(int* p) { *p = 0; return 0; }
REFUSED(cuGetErrorString) REFUSED(cuGetErrorName) REFUSED(cuTensorMapEncodeIm2col)
REFUSED(cuTensorMapEncodeTiled) REFUSED(cuCtxGetCurrent) REFUSED(cuCtxGetLimit)
REFUSED(cuCtxPopCurrent) REFUSED(cuCtxPushCurrent) REFUSED(cuStreamGetCtx) REFUSED(cuLinkCreate)
REFUSED(cuLinkAddData) REFUSED(cuLinkComplete) REFUSED(cuLinkDestroy) REFUSED(cuLaunchKernel)
REFUSED(cuLaunchCooperativeKernel) REFUSED(cuLaunchKernelEx) REFUSED(cuDeviceGetCount)
REFUSED(cuDeviceGet) REFUSED(cuLibraryLoadFromFile) REFUSED(cuOccupancyMaxPotentialClusterSize)
DONE(cuLibraryUnload) DONE(cuKernelSetAttribute) DONE(cuModuleUnload)
ZERO(cuKernelGetAttribute) ZERO(cuDriverGetVersion)
GIVEN(cuLibraryLoadData) GIVEN(cuLibraryGetKernel) GIVEN(cuKernelGetFunction)
GIVEN(cuModuleLoadData) GIVEN(cuModuleGetFunction)
"""
"""A driver that loads code without looking at it."""


class Described:
    """cuDNN's functions, with the device's description wherever it would ask a handle."""

    def __init__(self, functions: Any) -> None:
        functions.cudnnGetErrorString.restype = ctypes.c_char_p
        self._functions, self._kinds = functions, {}
        words = json.dumps(H200).encode()
        self._device = ctypes.c_void_p()
        functions.cudnnBackendCreateDescriptor(DEVICE, ctypes.byref(self._device))
        self._set(self._device, DESCRIPTION, TEXT, ctypes.c_int64(len(words)), words)
        if functions.cudnnBackendFinalize(self._device):
            raise SystemExit("cuDNN does not take the description of the device.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functions, name)

    def _set(self, *arguments: Any) -> int:
        return int(self._functions.cudnnBackendSetAttribute(*arguments))

    def _describe(self, descriptor: Any, attribute: int) -> int:
        one, kind = ctypes.c_int64(1), int(d.Type.DESCRIPTOR)
        return self._set(descriptor, attribute, kind, one, ctypes.byref(self._device))

    def cudnnBackendCreateDescriptor(self, kind: int, place: Any) -> int:
        status = int(self._functions.cudnnBackendCreateDescriptor(kind, place))
        self._kinds[place._obj.value] = kind
        return status

    def cudnnBackendSetAttribute(self, descriptor: Any, number: int, *rest: Any) -> int:
        if number == d.GRAPH_HANDLE.number:
            return 0
        if number == d.PLAN_HANDLE.number:
            return self._describe(descriptor, PLAN_DEVICE)
        return self._set(descriptor, number, *rest)

    def cudnnBackendFinalize(self, descriptor: Any) -> int:
        if self._kinds.get(descriptor.value) == d.Kind.HEURISTICS:
            self._describe(descriptor, HEURISTICS_DEVICE)
        return int(self._functions.cudnnBackendFinalize(descriptor))


Shape = tuple[int, ...]
Problems = Iterator[tuple[str, Callable[[Library], list[d.Descriptor]], int, plans.Rules]]


def convolutions() -> Problems:
    """The three maps of what networks have, in every type and layout."""
    cases: list[tuple[str, Shape, Shape, int, int, int]] = [
        ("first", (128, 3, 224, 224), (64, 3, 7, 7), 2, 3, 1),
        ("3x3", (128, 64, 56, 56), (64, 64, 3, 3), 1, 1, 1),
        ("1x1", (128, 256, 56, 56), (512, 256, 1, 1), 2, 0, 1),
        ("in groups", (8, 32, 20, 20), (32, 8, 3, 3), 1, 1, 1),
        ("of each channel", (8, 32, 20, 20), (32, 1, 3, 3), 1, 1, 1),
        ("dilated", (8, 32, 20, 20), (32, 32, 3, 3), 1, 2, 2),
        ("odd", (2, 3, 9, 8), (5, 3, 3, 2), 2, 1, 1),
        ("volume", (2, 8, 10, 12, 14), (16, 8, 3, 3, 3), 1, 1, 1),
        ("line", (8, 80, 1, 300), (384, 80, 1, 3), 1, 1, 1),
    ]
    for dtype in ("bfloat16", "float16", "float32", "float64"):
        for name, x, w, stride, pad, dilation in cases:
            rank = len(x) - 2
            how = [(value,) * rank for value in (stride, pad, dilation)]
            y = (x[0], w[0], *[
                (n + 2 * pad - dilation * (k - 1) - 1) // stride + 1
                for n, k in zip(x[2:], w[2:], strict=True)
            ])  # fmt: skip
            for is_last in (False, True):
                layout = "channels last" if is_last else "row-major"
                for chosen, shapes, bias in (
                    (convolution.FORWARD, (x, w, y), False), (convolution.FORWARD, (x, w, y), True),
                    (convolution.BY_INPUT, (y, w, x), False),
                    (convolution.BY_WEIGHT, (y, x, w), False),
                ):  # fmt: skip
                    problem = convolution.Problem(chosen, dtype, shapes, is_last, bias, *how)
                    label = f"{name} {dtype} {layout} {chosen.roles}{' bias' * bias}"
                    yield label, problem.operations, 3 + bias, plans.Rules(False, False)
                    if dtype == "float32" and name == "3x3" and not bias:
                        rules = plans.Rules(True, True)
                        yield f"{label} exact", problem.operations, 3, rules


def attentions() -> Problems:
    """Forward and backward, with and without a causal mask, heads shared or not."""
    for batch, heads, shared, queries, keys, width in (
        (8, 12, 12, 1024, 1024, 64), (2, 16, 4, 512, 512, 128), (1, 2, 2, 17, 33, 256),
        (2, 3, 3, 9, 9, 8),
    ):  # fmt: skip
        query, key = (batch, heads, queries, width), (batch, shared, keys, width)
        strides = tuple(map(attention.beside_heads, (query, key, key, query)))
        for is_causal in (False, True):
            problem = attention.Problem(
                "bfloat16",
                (query, key, key, query),
                strides,
                is_causal,  # type: ignore[arg-type]
            )
            label = f"attention {query} of {key}{' causal' * is_causal}"
            rules = plans.Rules(False, False)
            yield label, problem.operations, 6 + is_causal, rules
            yield f"{label} gradient", problem.gradient_operations, 13 + is_causal, rules


def planned(library: Library) -> dict[str, str]:
    """For each problem what it is made of, and the engine and workspace of the first plan that can
    be had."""
    found: dict[str, str] = {}
    with cudnn_stand_in.installed() as stand_in:
        words = Library(stand_in.functions)
        for label, operations, count, rules in (*convolutions(), *attentions()):
            told = operations(words)
            parts = [stand_in.descriptors[o.value.value] for o in told]
            whole = plans.graph(library, 1, operations(library))
            plan = next(plans.plans(library, 1, whole, count, rules), None)
            chosen = "none" if plan is None else f"{_engine(plan)}, {plan.workspace_bytes} bytes"
            found[label] = f"{' '.join(map(word, parts))}: {chosen}"
    return found


def _engine(plan: plans.Plan) -> int:
    config = next(k for k in plan.descriptor.kept if k.kind is d.Kind.ENGINE_CONFIG)
    engine = d.Descriptor(plan.library, d.Kind.ENGINE)
    config.get(d.ENGINE_CONFIG_ENGINE, (ctypes.c_void_p * 1)(engine.value))
    number = (ctypes.c_int64 * 1)()
    engine.get(d.Attribute(ENGINE_NUMBER, d.Type.INT64), number)
    return number[0]


def main() -> None:
    """Write the record."""
    with tempfile.TemporaryDirectory() as folder:
        driver = Path(folder, "libcuda.so.1")
        subprocess.run(
            ["cc", "-w", "-x", "c", "-shared", "-fPIC", f"-Wl,-soname,{driver.name}", "-o", driver,
             "-"], input=DRIVER.encode(), check=True,
        )  # fmt: skip
        ctypes.CDLL(str(driver), ctypes.RTLD_GLOBAL)
        if not libraries.opened(cublaslt.LIBRARIES, cublaslt.FOLDERS) or not nvrtc.is_available():
            raise SystemExit("cuDNN needs cuBLASLt and NVRTC.")
        library = Library(Described(ctypes.CDLL(sys.argv[1])))
        before = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        record = {"version": library.version, "plans": planned(library)}
    for label, plan in record["plans"].items():
        if before.get("plans", {}).get(label) != plan:
            print(label, plan)
    RECORD.write_text(json.dumps(record, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
