"""`PYTHONPATH=... python -m tests.benchmarks.gpu.pytorch_ledger`: launches and bytes of PyTorch's
steps on a GPU, counted without one, into `pytorch_ledger.json`.

Each row runs on PyTorch's meta device at full size. What reaches its dispatcher is one kernel that
reads its operands and writes its results, but for the operations in RULES, whose kernels were
counted in PyTorch's CUDA sources: those of channels-last batch norm for halves, flash attention,
the sorted embedding gradient, `nll_loss` and the chunks of its multi-tensor loops. Where those
sources choose by size, the smaller number stands. Autocast's casts are made here, as its lists for
CUDA have them.
"""

from __future__ import annotations

import json
import types
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from .case import Place
from .rows import ROWS

RECORD = Path(__file__).with_name("pytorch_ledger.json")

NOTHING = """
view _unsafe_view t transpose expand unsqueeze squeeze split slice select detach alias permute
as_strided unbind empty empty_like empty_strided new_empty _reshape_alias view_as set_ resize_
lift_fresh split_with_sizes is_same_size
""".split()
LOWER = "linear conv2d matmul scaled_dot_product_attention bmm addmm mm".split()
FLOAT32 = "layer_norm cross_entropy softmax log_softmax sum".split()
CHUNK, MOST_BLOCKS = 65_536, 320
MOST_TENSORS = {1: 110, 2: 64, 3: 48, 4: 36}
"""Of PyTorch's multi_tensor_apply, by how many lists it goes through."""


def size(tensor: torch.Tensor) -> int:
    """Bytes of the elements, those at one place counted once."""
    count = tensor.element_size()
    for n, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= n if stride else min(n, 1)
    return count


def tensors(*trees: Any) -> list[torch.Tensor]:
    """All tensors among arguments or results."""
    return [t for t in tree_flatten(trees)[0] if isinstance(t, torch.Tensor)]


def multi_tensor(sizes: list[int], lists: int) -> int:
    """Launches of a loop over so many lists of tensors of such sizes."""
    launches = held = blocks = 0
    for k, elements in enumerate(sizes):
        held += 1
        chunks = -(-elements // CHUNK)
        for chunk in range(chunks):
            blocks += 1
            is_last = chunk == chunks - 1
            is_end = k == len(sizes) - 1 and is_last
            if (held == MOST_TENSORS[lists] and is_last) or blocks == MOST_BLOCKS or is_end:
                launches, blocks = launches + 1, 0
                held = 0 if is_last else 1
    return launches


class Counting(TorchDispatchMode):
    """Counts launches and bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, Counter[tuple[int, int, int]]] = defaultdict(Counter)

    def add(self, name: str, launches: int, moved: int, operations: int = 0) -> None:
        """Note launches, and what they move and compute together."""
        self.kinds[name][launches, int(moved), int(operations)] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        if name not in NOTHING:
            rule = RULES.get(name)
            if rule is not None:
                for part, launches, moved, operations in rule(args, out):
                    self.add(part, launches, moved, operations)
            else:
                # An array that is changed is both among the arguments and the results.
                self.add(name, 1, sum(map(size, tensors(args, kwargs, out))))
        return out


Parts = list[tuple[str, int, int, int]]


def _product(args: Any, out: Any) -> Parts:
    a, _ = [t for t in args if isinstance(t, torch.Tensor)][-2:]
    count = 2 * out.numel() * a.shape[-1]
    return [("product", 1, sum(map(size, tensors(args, out))), count)]


def _macs(weight: Any, positions: Any) -> int:
    return 2 * weight.numel() * positions.shape[0] * positions.shape[2:].numel()


def _convolution(args: Any, out: Any) -> Parts:
    return [("convolution", 1, sum(map(size, tensors(args, out))), _macs(args[1], out))]


def _convolution_backward(args: Any, out: Any) -> Parts:
    g, x, weight = args[:3]
    parts = []
    for found, read in ((out[0], weight), (out[1], x)):
        if found is not None:
            moved = size(g) + size(read) + size(found)
            parts.append(("convolution_backward", 1, moved, _macs(weight, g)))
    if out[2] is not None:
        parts.append(("sum", 1, size(g), 0))
    return parts


def _batch_norm(args: Any, out: Any) -> Parts:
    """Moments; running statistics; normalization."""
    x = size(args[0])
    return [("batch_norm", 3, 3 * x, 0)]


def _batch_norm_backward(args: Any, out: Any) -> Parts:
    """Sums; the gradient."""
    return [("batch_norm_backward", 2, 5 * size(args[0]), 0)]


def _layer_norm_backward(args: Any, out: Any) -> Parts:
    """By the input; by weight and bias, which reads both arrays again."""
    g = size(args[0])
    return [("layer_norm_backward", 2, 5 * g, 0)]


def _nll_loss(args: Any, out: Any) -> Parts:
    return [("nll_loss", 1, 2 * args[1].numel() * 8, 0)]


def _nll_loss_backward(args: Any, out: Any) -> Parts:
    """Zeros; one number in each row."""
    return [("nll_loss_backward", 2, size(out), 0)]


def _embedding(args: Any, out: Any) -> Parts:
    return [("embedding", 1, 2 * size(out) + size(args[1]), 0)]


def _embedding_backward(args: Any, out: Any) -> Parts:
    """Zeros; up to 3072 places in one kernel, more sorted (range, histogram, scan, passes over the
    bits that there are), counted and added up."""
    few = args[1].numel() <= 3072
    return [("embedding_backward", 2 if few else 10, size(out) + 3 * size(args[0]), 0)]


RULES: dict[str, Callable[[Any, Any], Parts]] = {
    "mm": _product, "addmm": _product, "bmm": _product,
    "convolution": _convolution, "convolution_backward": _convolution_backward,
    "native_batch_norm": _batch_norm, "cudnn_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm, "native_batch_norm_backward": _batch_norm_backward,
    "native_layer_norm_backward": _layer_norm_backward,
    "nll_loss_forward": _nll_loss, "nll_loss_backward": _nll_loss_backward,
    "embedding": _embedding, "embedding_dense_backward": _embedding_backward,
}  # fmt: skip
"""Parts of operations that are no single kernel, or read only a part: launches, bytes and
operations."""


class Attention(torch.autograd.Function):
    """Flash attention, causal: one kernel; three backward, and zeros for the sums by query."""

    @staticmethod
    def forward(ctx: Any, counting: Counting, q: Any, k: Any, v: Any) -> Any:
        """(batch, heads, n, width), the heads side by side in memory."""
        ctx.counting, ctx.moved = counting, size(q)
        batch, heads, n, width = q.shape
        ctx.products = batch * heads * n * n * width  # of which half are left out
        counting.add("attention", 1, 4 * ctx.moved, 2 * ctx.products)
        return q.new_empty(batch, n, heads, width).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        """Eight arrays, and the sums by query in float32 written and read."""
        ctx.counting.add("attention_backward", 4, 15 * ctx.moved, 5 * ctx.products)
        return None, g, g, g


class Autocast(TorchFunctionMode):
    """Casts as PyTorch's lists for CUDA have them; those of parameters are kept."""

    def __init__(self, counting: Counting, is_on: bool) -> None:
        super().__init__()
        self.counting, self.is_on = counting, is_on
        self.cache: dict[int, torch.Tensor] = {}

    def _cast(self, value: Any, dtype: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        if value.dtype == dtype:
            return value
        if dtype == torch.float32 or not (value.is_leaf and value.requires_grad):
            return value.to(dtype)
        if id(value) not in self.cache:
            self.cache[id(value)] = value.to(dtype)
        return self.cache[id(value)]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        if self.is_on and name in LOWER + FLOAT32:
            dtype = torch.bfloat16 if name in LOWER else torch.float32
            args = [self._cast(a, dtype) for a in args]
            kwargs = {k: self._cast(v, dtype) for k, v in kwargs.items()}
        if name == "scaled_dot_product_attention":
            return Attention.apply(self.counting, *args[:3])
        return func(*args, **kwargs)


class Steps:
    """An optimizer that goes through all parameters by PyTorch's multi-tensor loops."""

    def __init__(self, counting: Counting, parameters: Any, **options: Any) -> None:
        self.counting, self.parameters, self.options = counting, list(parameters), options

    def zero_grad(self) -> None:
        """None for all gradients."""
        for p in self.parameters:
            p.grad = None

    def loop(self, name: str, lists: int, passes: int) -> None:
        """A loop that moves the parameters' bytes so often."""
        sizes = [p.numel() for p in self.parameters]
        self.counting.add(name, multi_tensor(sizes, lists), passes * sum(sizes) * 4)


class AdamW(Steps):
    """With `fused`: the counts of steps, then all in one loop over four lists."""

    def step(self) -> None:
        """One."""
        count = len(self.parameters)
        self.counting.add("foreach_add_steps", multi_tensor([1] * count, 1), 8 * count)
        self.loop("fused_adamw", 4, 7)


class SGD(Steps):
    """Momentum: v *= momentum, v += g, p -= lr * v; without, p -= lr * g."""

    def step(self) -> None:
        """One."""
        if self.options.get("momentum"):
            self.loop("foreach_mul", 1, 2)
            self.loop("foreach_add", 2, 3)
        self.loop("foreach_add", 2, 3)


def clip_grad_norm(counting: Counting, parameters: list[Any]) -> None:
    """Norms in chunks and of tensors; their stack and its norm; the factor (three); the product."""
    held = Steps(counting, parameters)
    held.loop("foreach_norm", 1, 1)
    counting.add("foreach_norm_cleanup, stack, norm, factor", 6, 0)
    held.loop("foreach_mul", 1, 2)


def library(counting: Counting) -> Any:
    """`torch` for a row, whose optimizers and autocast are those above."""
    made = types.SimpleNamespace(**vars(torch))
    made.optim = types.SimpleNamespace(
        AdamW=lambda p, **options: AdamW(counting, p, **options),
        SGD=lambda p, **options: SGD(counting, p, **options),
    )
    made.autocast = lambda device, dtype, enabled: Autocast(counting, enabled)
    utils = types.SimpleNamespace(
        clip_grad_norm_=lambda parameters, norm: clip_grad_norm(counting, parameters)
    )
    made.nn = types.SimpleNamespace(**vars(torch.nn))
    made.nn.utils = utils
    return made


def main() -> None:
    """Record all rows that PyTorch on a GPU is the rival of."""
    found = {}
    for row in ROWS:
        if row.rival != "torch" or row.captured:
            continue
        counting = Counting()
        with torch.device("meta"):
            step = row.work(Place(library(counting), "meta"))
            step()
            counting.kinds.clear()
            with counting:
                step()
        found[row.name] = {
            name: [[times, *each] for each, times in kind.items()]
            for name, kind in counting.kinds.items()
        }
        print(row.name, sum(t * n for kind in found[row.name].values() for t, n, *_ in kind))
    lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in found.items())
    RECORD.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
