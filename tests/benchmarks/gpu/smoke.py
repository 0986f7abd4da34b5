"""`python -m tests.benchmarks.gpu.smoke`: what the machine is, and the first operations on its GPU.

Each step is told at once, so that whatever ends the run, what came before it is known. An error
that the driver does not get over (an access out of bounds) ends the process: the rest goes on in a
new one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

PACKAGES = """
cupy-cuda13x cupy-cuda12x torch numpy scipy llvmlite numba ml-dtypes pytest pytest-xdist
safetensors nvidia-cuda-nvrtc nvidia-cublas nvidia-cudnn-cu13 nvidia-cudnn-cu12 cuda-bindings
""".split()


def facts() -> None:
    """Print versions, the card, and which libraries are found."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    print(f"Python {platform.python_version()}: {', '.join(found)}")
    told("nvidia-smi", lambda: subprocess.run(["nvidia-smi"], timeout=20))
    from flambeau.backends.cuda import cublaslt, nvrtc

    told("NVRTC", lambda: print("NVRTC", nvrtc.version()))
    told("properties", lambda: print(torch.cuda.get_device_properties(0)))
    told("cuBLASLt", lambda: print("cuBLASLt is there:", cublaslt.is_available()))
    told("cuDNN", lambda: print("cuDNN", torch.backends.cudnn.version()))
    told("memory", lambda: print("free and total bytes", torch.cuda.mem_get_info()))


def told(name: str, step: Callable[[], Any]) -> bool:
    """Whether `step` succeeds; what went wrong is printed."""
    began = time.perf_counter()
    try:
        step()
    except Exception:
        print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok {name}, {time.perf_counter() - began:.2f} s", flush=True)
    return True


# -- steps -----------------------------------------------------------------------------------------

Work = Callable[[Any], Any]


def equal(work: Work, *shapes: tuple[int, ...], dtype: Any = torch.float32) -> None:
    """Results and gradients of `work(place)(*tensors)` on the GPU are those of float32 on the
    CPU."""
    found = []
    values = [torch.randn(s, generator=torch.Generator().manual_seed(k))
              for k, s in enumerate(shapes)]  # fmt: skip
    for place, kind in (("cpu", torch.float32), ("cuda", dtype)):
        torch.manual_seed(0)
        given = [v.to(dtype).to(kind).clone().to(place).requires_grad_() for v in values]
        out = work(place)(*given)
        out.float().square().mean().backward()
        torch.cuda.synchronize()
        found.append([out, *[g.grad for g in given]])
    width = {torch.float32: 1e-4, torch.bfloat16: 4e-2}[dtype]
    for wanted, got in zip(*found, strict=True):
        wanted, got = wanted.detach().float(), got.detach().float().cpu()
        size = float(wanted.abs().max())
        worst = float((wanted - got).abs().max())
        if not worst <= width * max(size, 1e-3):
            raise AssertionError(f"differs by {worst:.3g} where the largest number is {size:.3g}")


def layer(make: Callable[[], Any], last: bool = False) -> Work:
    """A layer, with its channels innermost if `last`."""

    def work(place: str) -> Any:
        made = make().to(place)
        if place == "cuda" and last:
            made = made.to(memory_format=torch.channels_last)
        return lambda x: made.to(x.dtype)(
            x.contiguous(memory_format=torch.channels_last) if last else x
        )

    return work


def embedded(place: str) -> Any:
    """Rows of a table, some more than once."""
    index = (torch.arange(2000) % 37).to(place)
    return lambda table: F.embedding(index, table)


def classified(place: str) -> Any:
    """The loss of classes."""
    target = (torch.arange(64) % 7).to(place)
    return lambda x: F.cross_entropy(x, target)


def trained(captured: bool) -> None:
    """A few steps of AdamW with clipping, as a graph or not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 8)).cuda()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True, capturable=True)
    x, y = torch.randn(128, 32, device="cuda"), (torch.arange(128) % 8).cuda()

    def step() -> Any:
        adam.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        return loss

    first = float(step())
    if captured:
        from .case import captured as as_graph

        step = as_graph(torch, step)
    for _ in range(40):
        last = step()
    if not float(last) < 0.9 * first:
        raise AssertionError(f"the loss went from {first} to {float(last)}")


def copied() -> None:
    """Numbers come back as they went."""
    if torch.arange(10).cuda().cpu().tolist() != list(range(10)):
        raise AssertionError("numbers changed on the way")


def drawn() -> None:
    """Normal numbers have their moments; sorting sorts."""
    x = torch.randn(1 << 20, device="cuda")
    if abs(float(x.mean())) > 0.01 or abs(float(x.std()) - 1) > 0.01:
        raise AssertionError(f"mean {float(x.mean())}, deviation {float(x.std())}")
    if not bool((x.sort().values.diff() >= 0).all()):
        raise AssertionError("not in order")


half = partial(equal, dtype=torch.bfloat16)
IMAGES, SCORES, HEADS = (4, 16, 18, 18), (64, 512), (2, 4, 96, 64)
STEPS: dict[str, Callable[[], Any]] = {
    "copies": copied,
    "add, mul": lambda: equal(lambda _: lambda x, y: x * y + x, (33, 65), (33, 65)),
    "sum": lambda: equal(lambda _: lambda x: x.sum(0) + x.mean(), (1000, 70)),
    "matmul": lambda: equal(lambda _: torch.matmul, (65, 130), (130, 33)),
    "matmul, bfloat16": lambda: half(lambda _: torch.matmul, (64, 128), (128, 256)),
    "linear": lambda: equal(lambda _: F.linear, (40, 64), (32, 64), (32,)),
    "linear, bfloat16": lambda: half(lambda _: F.linear, (40, 64), (32, 64), (32,)),
    "softmax": lambda: half(lambda _: lambda x: x.softmax(-1), SCORES),
    "layer norm": lambda: half(layer(lambda: nn.LayerNorm(512)), SCORES),
    "cross-entropy": lambda: equal(classified, SCORES),
    "embedding": lambda: equal(embedded, (50, 64)),
    "attention": lambda: half(lambda _: partial(F.scaled_dot_product_attention, is_causal=True),
                              HEADS, HEADS, HEADS),
    "conv2d": lambda: equal(layer(lambda: nn.Conv2d(16, 24, 3, padding=1)), IMAGES),
    "conv2d, bfloat16": lambda: half(layer(lambda: nn.Conv2d(16, 24, 3), last=True), IMAGES),
    "batch norm, bfloat16": lambda: half(layer(lambda: nn.BatchNorm2d(16), last=True), IMAGES),
    "max_pool2d": lambda: equal(layer(lambda: nn.MaxPool2d(3, 2, padding=1)), IMAGES),
    "random numbers, sort": drawn,
    "training": lambda: trained(captured=False),
    "training as a graph": lambda: trained(captured=True),
}  # fmt: skip


def main() -> int:
    """Run the steps, from the one in argv on; 1 if one failed."""
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    if not first:
        facts()
    failed = first > 0
    for k, (name, step) in enumerate(STEPS.items()):
        if k < first or told(name, step):
            continue
        failed = True
        if not told("the GPU afterwards", lambda: torch.ones(1, device="cuda").add(1).cpu()):
            command = [sys.executable, "-m", "tests.benchmarks.gpu.smoke", str(k + 1)]
            os.execv(sys.executable, command)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
