"""Every kernel compiles for every architecture, with the very compiler that a GPU's machine has."""

from __future__ import annotations

from collections import defaultdict

import pytest

import flambeau as torch
from flambeau.backends.cuda import launch, nvrtc, registry, steps
from flambeau.core.dispatch import forget_kernels, operations
from flambeau.errors import CompilationError

from .shim import HostDriver

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
QUICK = ["--Ofast-compile=max"]
"""Spares the compiler its optimizations, three quarters of the time."""

registry.launchers()


def expressions(architecture: str) -> dict[str, list[str]]:
    """The kernels of each file: all of them for sm_90, for the others each template with each value
    of each parameter, which takes a few seconds."""
    found: dict[str, list[str]] = defaultdict(list)
    for template in launch.templates:
        if int(architecture.removeprefix("sm_")) < template.since:
            continue
        if architecture == "sm_90":
            chosen = list(template.combinations())
        else:
            values = list(template.parameters.values())
            turns = range(max(map(len, values), default=1))
            chosen = [tuple(v[k % len(v)] for v in values) for k in turns]
        found[template.file] += map(template.expression, chosen)
    return found


FILES = [(a, file, found) for a in ARCHITECTURES for file, found in expressions(a).items()]

needs_nvrtc = pytest.mark.skipif(not nvrtc.is_available(), reason="NVRTC is not installed")


@needs_nvrtc
@pytest.mark.parametrize(
    ("architecture", "file", "found"), FILES, ids=[f"{f}-{a}" for a, f, _ in FILES]
)
def test_every_kernel_compiles(architecture: str, file: str, found: list[str]) -> None:
    source = launch.source(file)
    code, symbols = nvrtc.compiled(
        source.text, source.label, found, launch.options(architecture) + QUICK
    )
    assert code.startswith(b"\x7fELF")
    assert all(symbol.encode() in code for symbol in symbols)


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_steps_of_optimizers_compile(architecture: str) -> None:
    p = [torch.nn.Parameter(torch.ones(1))]
    adam = torch.optim.Adam(p, amsgrad=True, maximize=True, weight_decay=0.1)
    rprop = torch.optim.Rprop(p)
    for rule, structure, dtypes, count in (
        (adam._decayed, (True, (..., None), (...,) * 5), ("float16",) * 5, 6),
        (rprop._decayed, (False, (None, None), (...,) * 4), ("float32",) * 4, 4),
    ):
        kernel = steps.compiled(rule, structure, dtypes, count)
        names = [kernel.expression]
        code, symbols = nvrtc.compiled(
            kernel.source.text, kernel.source.label, names, launch.options(architecture) + QUICK
        )
        assert symbols == ["steps"]
        assert b"steps" in code


@needs_nvrtc
def test_what_does_not_compile_is_reported_with_its_place() -> None:
    with pytest.raises(CompilationError, match=r"wrong\.cu(?s:.)*wrong\.cu\(2\).*undefined"):
        nvrtc.compiled("__global__ void f() {\nx = 1; }", "wrong.cu", ["f"], ["-arch=sm_90"])


@needs_nvrtc
def test_machine_code_is_found_again_unless_something_changed(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path))
    compiled = []
    original = nvrtc.compiled
    monkeypatch.setattr(nvrtc, "compiled", lambda *a: compiled.append(a) or original(*a))
    text = "template <int N> __global__ void f(long long* x) { *x = N; }"
    first = launch.machine_code(launch.Source("f.cu", text), ("f<1>",), "sm_90")
    assert launch.machine_code(launch.Source("f.cu", text), ("f<1>",), "sm_90") == first
    assert len(compiled) == 1
    launch.machine_code(launch.Source("f.cu", text + " "), ("f<1>",), "sm_90")
    launch.machine_code(launch.Source("f.cu", text), ("f<2>",), "sm_90")
    launch.machine_code(launch.Source("f.cu", text), ("f<1>",), "sm_80")
    monkeypatch.setattr(launch, "_headers", lambda: "other")
    launch.machine_code(launch.Source("f.cu", text), ("f<1>",), "sm_90")
    assert len(compiled) == 5


def test_kernels_are_registered_for_operations_that_there_are() -> None:
    assert {name for name, _ in registry.launchers()} <= operations.keys()


def test_values_that_no_test_compiles_are_refused() -> None:
    template = launch.templates[0]
    with pytest.raises(KeyError, match="none of"):
        template[("int8", *next(template.combinations())[1:])]


def test_devices_too_old_for_a_kernel_compute_otherwise(
    host: HostDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(1, 4, 8, 8).to("cuda")
    w = torch.randn(4, 4, 3, 3).to("cuda")
    wanted = torch.conv2d(x.cpu(), w.cpu())
    for since, is_launched in ((75, True), (1_000, False)):
        monkeypatch.setattr(registry, "_since", dict.fromkeys(registry._since, since))
        forget_kernels()
        host.launched.clear()
        found = torch.conv2d(x, w).cpu()
        assert torch.allclose(found, wanted, atol=1e-2)
        assert any("convol" in e for e in host.launched) == is_launched
