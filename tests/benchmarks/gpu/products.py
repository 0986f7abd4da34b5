"""`python -m tests.benchmarks.gpu.products`: products by either library, and what it costs or saves
to add a bias and to sum its gradient in the same launch.

cuBLASLt is preferred because of launches and passes over memory counted, not because of these; and
`ways` sums a bias's gradient in one launch with that of the weight by a rule that these can check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any

SHAPES = {
    "MLP": (128, 784, 512, "float32"),
    "GPT-2 small, one token": (8, 768, 3072, "bfloat16"),
    "GPT-2 small, queries, keys and values": (8192, 768, 2304, "bfloat16"),
    "GPT-2 small, into the wide layer": (8192, 768, 3072, "bfloat16"),
    "GPT-2 small, out of it": (8192, 3072, 768, "bfloat16"),
    "GPT-2 small, logits": (8192, 768, 50_304, "bfloat16"),
    "square": (8192, 8192, 8192, "bfloat16"),
}
"""Rows, inputs, outputs and dtype of layers."""

TOGETHER = "in one launch"

Step = Callable[[], Any]


def steps(torch: Any, rows: int, inputs: int, outputs: int, dtype: str) -> dict[str, Step]:
    """What is measured of one layer."""
    how = {"device": "cuda", "dtype": getattr(torch, dtype)}
    x, g = torch.randn(rows, inputs, **how), torch.randn(rows, outputs, **how)
    w, b = (torch.randn(*size, **how).requires_grad_() for size in ((outputs, inputs), (outputs,)))
    linear, gradients = torch.nn.functional.linear, torch.autograd.grad
    out, product = linear(x, w, b), linear(x, w)
    with torch.no_grad():
        weight, bias = w.detach(), b.detach()
    return {
        "product": lambda: linear(x, weight),
        "and bias": lambda: linear(x, weight, bias),
        "and bias, apart": lambda: linear(x, weight) + bias,
        "gradient": lambda: gradients(product, w, g, retain_graph=True),
        "and bias's": lambda: gradients(out, (w, b), g, retain_graph=True),
        TOGETHER: lambda: gradients(out, (w, b), g, retain_graph=True),
        "and bias's, apart": lambda: (
            gradients(product, w, g, retain_graph=True), g.sum(0),
        ),
    }  # fmt: skip


@contextmanager
def always_together() -> Iterator[None]:
    """Lets sums come with products whatever that costs."""
    from flambeau.backends.cuda import ways

    before, ways.LAUNCH, ways.FILLED = (ways.LAUNCH, ways.FILLED), 1.0, 0.0
    ways._ways.known.clear()
    yield
    ways.LAUNCH, ways.FILLED = before
    ways._ways.known.clear()


def seconds(torch: Any, step: Step, least: float) -> float:
    """Per step, of at least so many seconds of work."""
    count = 1
    while True:
        torch.cuda.synchronize()
        started = perf_counter()
        for _ in range(count):
            step()
        torch.cuda.synchronize()
        elapsed = perf_counter() - started
        if elapsed >= least:
            return elapsed / count
        count *= 4


def lines(torch: Any, scale: int = 1, least: float = 0.05) -> Iterator[str]:
    """The table; sizes divided by `scale`."""
    prefer = torch.backends.cuda.preferred_blas_library
    for name, (*sizes, dtype) in SHAPES.items():
        small = [max(8, size // scale) for size in sizes]
        yield f"{name}: {' x '.join(map(str, small))}, {dtype}"
        made = steps(torch, *small, dtype)  # type: ignore[call-arg]
        for what, step in made.items():
            taken = []
            for library in ("cublaslt", "cublas"):
                prefer(library)
                with always_together() if what == TOGETHER else nullcontext():
                    step()
                    taken.append(seconds(torch, step, least) * 1e6)
            yield f"    {what:20} {taken[0]:10.1f} {taken[1]:10.1f}"
        prefer("default")


if __name__ == "__main__":
    import flambeau

    print(f"{'microseconds by':24} {'cublaslt':>10} {'cublas':>10}")
    for line in lines(flambeau):
        print(line, flush=True)
