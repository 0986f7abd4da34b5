"""Products of several tensors: einsum, tensordot, batched and outer products, distances."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from ..autograd.record import TAPE
from ..core import dtypes
from ..errors import ShapeError
from .declare import Spec
from .gather import select_places
from .linalg import bmm, matmul, mm, plus_product, require_batches, scaled_sum
from .numpy_names import numpy_names
from .shapes import normalized_dim
from .stacking import broadcast_tensors

__all__ = [
    "addbmm",
    "addmv",
    "addr",
    "baddbmm",
    "cdist",
    "chain_matmul",
    "cross",
    "dist",
    "einsum",
    "inner",
    "kron",
    "tensordot",
    "vdot",
]

LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _parsed(equation: Any, operands: tuple[Any, ...]) -> tuple[list[str], str | None, list[Any]]:
    """Subscripts of the inputs, of the output if given, and the operands; from either call form."""
    if not isinstance(equation, str):
        flat = [equation, *operands]
        tensors, lists = flat[: len(flat) // 2 * 2 : 2], flat[1::2]
        out = "".join(_letter(k) for k in flat[-1]) if len(flat) % 2 else None
        return ["".join(_letter(k) for k in one) for one in lists], out, tensors
    tensors = list(operands[0]) if len(operands) == 1 and _is_list(operands[0]) else list(operands)
    left, arrow, right = equation.replace(" ", "").partition("->")
    return left.split(","), right if arrow else None, tensors


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _letter(subscript: Any) -> str:
    return "..." if subscript is Ellipsis else LETTERS[subscript]


def einsum(equation: Any, *operands: Any) -> Spec:
    """Sums of products by subscripts: `einsum("bij,bjk->bik", a, b)`; repeated letters take the
    diagonal, letters that the output lacks are summed, `...` stands for leading dimensions.

    Raises: RuntimeError for subscripts that fit neither the operands nor each other.
    """
    subscripts, output, tensors = _parsed(equation, operands)
    if len(subscripts) != len(tensors):
        raise RuntimeError(
            f"einsum: expected an operand per subscript. Got {len(tensors)} for {subscripts}."
        )
    _require_letters(subscripts, output)
    rest = _rank_of_ellipsis(subscripts, tensors)
    hidden = [chr(0x3B1 + k) for k in range(rest)]  # letters nobody writes: alpha, beta, ...
    inputs = [_spelled(s, t, hidden) for s, t in zip(subscripts, tensors, strict=True)]
    if output is None:
        letters = "".join(inputs)
        output = "".join(hidden) + "".join(
            sorted(c for c in set(letters) - set(hidden) if letters.count(c) == 1)
        )
    else:
        output = output.replace("...", "".join(hidden))
        unknown = [c for c in output if c not in "".join(inputs)]
        if unknown or len(set(output)) < len(output):
            raise RuntimeError(
                f"einsum: expected letters of the inputs in the output, once each. Got {output!r}."
            )
    return _contracted(inputs, output, tensors)


def _require_letters(subscripts: list[str], output: str | None) -> None:
    for one in [*subscripts, output or ""]:
        if any(c not in LETTERS for c in one.replace("...", "", 1)):
            raise RuntimeError(f"einsum: expected letters and at most one '...'. Got {one!r}.")


def _rank_of_ellipsis(subscripts: list[str], tensors: list[Any]) -> int:
    return max(
        (len(t.shape) - len(s) + 3 for s, t in zip(subscripts, tensors, strict=True) if "..." in s),
        default=0,
    )


def _spelled(subscript: str, tensor: Any, hidden: list[str]) -> str:
    rank = len(tensor.shape)
    missing = rank - len(subscript.replace("...", ""))
    if missing < 0 or (missing and "..." not in subscript):
        raise RuntimeError(
            f"einsum: expected {len(subscript.replace('...', ''))} dimensions for {subscript!r}. "
            f"Got shape {tuple(tensor.shape)}."
        )
    return subscript.replace("...", "".join(hidden[len(hidden) - missing :]) if missing else "")


def _contracted(inputs: list[str], output: str, tensors: list[Any]) -> Spec:
    """Pairs of operands from the left, each as one batched product."""
    _require_sizes(inputs, tensors)
    found = [_without_repeats(s, t) for s, t in zip(inputs, tensors, strict=True)]
    while True:
        later = "".join(s for s, _ in found[2:]) + output
        if len(found) == 1:
            letters, t = found[0]
            return _arranged(letters, t, output)
        found[:2] = [_pair(found[0], found[1], later)]


def _require_sizes(inputs: list[str], tensors: list[Any]) -> None:
    sizes: dict[str, int] = {}
    for letters, t in zip(inputs, tensors, strict=True):
        for c, n in zip(letters, t.shape, strict=True):
            before = sizes.get(c, 1)
            if before != n and 1 not in (before, n):
                raise RuntimeError(
                    f"einsum: expected one size for each letter. Got {before} and {n} for {c!r}, "
                    f"operands {[tuple(t.shape) for t in tensors]}."
                )
            sizes[c] = n if before == 1 else before


def _without_repeats(letters: str, t: Any) -> tuple[str, Any]:
    """Repeated letters as the diagonal of their dimensions."""
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            a = letters.index(c)
            b = letters.index(c, a + 1)
            if t.shape[a] != t.shape[b]:
                n = max(t.shape[a], t.shape[b])
                t = t.expand(*[n if k in (a, b) else m for k, m in enumerate(t.shape)])
            t = t.diagonal(0, a, b)
            letters = letters[:a] + letters[a + 1 : b] + letters[b + 1 :] + c
    return letters, t


def _arranged(letters: str, t: Any, output: str) -> Any:
    gone = [k for k, c in enumerate(letters) if c not in output]
    if gone:
        t = t.sum(gone)
        letters = "".join(c for c in letters if c in output)
    return t.permute(*[letters.index(c) for c in output])


def _pair(one: tuple[str, Any], two: tuple[str, Any], later: str) -> tuple[str, Any]:
    """The product of two operands over the letters that nobody needs `later`."""
    (a, x), (b, y) = one, two
    x, y = _summed_alone(a, x, b + later), _summed_alone(b, y, a + later)
    a, b = (
        "".join(c for c in a if c in b + later),
        "".join(c for c in b if c in a + later),
    )
    shared = [c for c in a if c in b]
    batch = [c for c in shared if c in later]
    summed = [c for c in shared if c not in later]
    rows, columns = [c for c in a if c not in b], [c for c in b if c not in a]
    x, y = _matched(a, x, b, y, shared)
    size = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}
    x = x.permute(*[a.index(c) for c in batch + rows + summed])
    y = y.permute(*[b.index(c) for c in batch + summed + columns])
    if not summed:
        x = x.reshape([size[c] for c in batch + rows] + [1] * len(columns))
        return "".join(batch + rows + columns), x * y.reshape(
            [size[c] for c in batch] + [1] * len(rows) + [size[c] for c in columns]
        )
    n, k, m, p = (math.prod(size[c] for c in cs) for cs in (batch, rows, summed, columns))
    out = bmm(x.reshape(n, k, m), y.reshape(n, m, p))
    letters = "".join(batch + rows + columns)
    return letters, out.reshape([size[c] for c in letters])


def _summed_alone(letters: str, t: Any, others: str) -> Any:
    gone = [k for k, c in enumerate(letters) if c not in others]
    return t.sum(gone) if gone else t


def _matched(a: str, x: Any, b: str, y: Any, shared: list[str]) -> tuple[Any, Any]:
    """Sizes of 1 repeated where the other operand has more."""
    for c in shared:
        i, j = a.index(c), b.index(c)
        if x.shape[i] != y.shape[j]:
            n = y.shape[j] if x.shape[i] == 1 else x.shape[i]
            x = x.expand(*[n if k == i else s for k, s in enumerate(x.shape)])
            y = y.expand(*[n if k == j else s for k, s in enumerate(y.shape)])
    return x, y


def tensordot(a: Spec, b: Spec, dims: Any = 2) -> Spec:
    """The sum of products over the last `dims` dimensions of a and the first of b, or over the
    pairs of dimensions given as two lists.

    Raises: RuntimeError if the sizes of paired dimensions differ.
    """
    if isinstance(dims, int):
        left, right = list(range(len(a.shape) - dims, len(a.shape))), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    left = [normalized_dim(d, len(a.shape), "tensordot") for d in left]
    right = [normalized_dim(d, len(b.shape), "tensordot") for d in right]
    pairs = [(a.shape[i], b.shape[j]) for i, j in zip(left, right, strict=False)]
    if len(left) != len(right) or any(p != q and 1 not in (p, q) for p, q in pairs):
        raise ShapeError(
            f"tensordot: expected paired dimensions of equal size. Got {tuple(a.shape)} over "
            f"{left} and {tuple(b.shape)} over {right}."
        )
    if len(a.shape) == len(b.shape) == len(left) == 1 and a.shape == b.shape:
        from .linalg import dot

        return dot(a, b)
    names = [chr(0x3B1 + k) for k in range(len(a.shape) + len(b.shape))]
    first = names[: len(a.shape)]
    second = names[len(a.shape) :]
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    output = [c for k, c in enumerate(first) if k not in left]
    output += [c for k, c in enumerate(second) if k not in right]
    return _contracted(["".join(first), "".join(second)], "".join(output), [a, b])


def inner(input: Spec, other: Spec) -> Spec:
    """The sum of products over the last dimension of both; the product if one is 0-d."""
    if not len(input.shape) or not len(other.shape):
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"inner: expected equal last dimensions. Got {tuple(input.shape)} and "
            f"{tuple(other.shape)}."
        )
    return tensordot(input, other, ([-1], [-1]))


def vdot(input: Spec, other: Spec) -> Spec:
    """The sum of conj(input) * other over two vectors."""
    from .linalg import dot

    return dot(input.conj(), other)


def kron(input: Spec, other: Spec) -> Spec:
    """The Kronecker product; missing dimensions are 1."""
    n = max(len(input.shape), len(other.shape))
    a = (1,) * (n - len(input.shape)) + tuple(input.shape)
    b = (1,) * (n - len(other.shape)) + tuple(other.shape)
    left = input.reshape([m for size in a for m in (size, 1)])
    right = other.reshape([m for size in b for m in (1, size)])
    return (left * right).reshape([p * q for p, q in zip(a, b, strict=True)])


def baddbmm(input: Spec, batch1: Spec, batch2: Spec, *, beta: Any = 1, alpha: Any = 1) -> Spec:
    """beta * input + alpha * (batch1 @ batch2): (b, n, k) and (b, k, m) to (b, n, m)."""
    require_batches("baddbmm", batch1, batch2)
    return plus_product(TAPE, input, batch1, batch2, beta, alpha)


def addbmm(input: Spec, batch1: Spec, batch2: Spec, *, beta: Any = 1, alpha: Any = 1) -> Spec:
    """beta * input + alpha * the sum of batch1 @ batch2 over the batch: (b, n, k) and (b, k, m) to
    (n, m)."""
    products = bmm(batch1, batch2)
    product = products.sum(0, dtype=products.dtype)
    return scaled_sum(input, product, beta=beta, alpha=alpha, operation="addbmm")


def addmv(input: Spec, mat: Spec, vec: Spec, *, beta: Any = 1, alpha: Any = 1) -> Spec:
    """beta * input + alpha * (mat @ vec): (n, k) and (k) to (n)."""
    if len(mat.shape) != 2 or len(vec.shape) != 1:
        raise ShapeError(
            f"addmv: expected a matrix and a vector. Got {tuple(mat.shape)} and {tuple(vec.shape)}."
        )
    return scaled_sum(input, matmul(mat, vec), beta=beta, alpha=alpha, operation="addmv")


def addr(input: Spec, vec1: Spec, vec2: Spec, *, beta: Any = 1, alpha: Any = 1) -> Spec:
    """beta * input + alpha * the outer product of two vectors: (n) and (m) to (n, m).

    Of truth values `and` and `or`. A beta of 0 drops what input holds; an alpha of 0 keeps NaN.
    """
    if len(vec1.shape) != 1 or len(vec2.shape) != 1:
        raise ShapeError(
            f"addr: expected vectors. Got {tuple(vec1.shape)} and {tuple(vec2.shape)}."
        )
    product = vec1.unsqueeze(1) * vec2
    if product.dtype is dtypes.bool_ and input.dtype is dtypes.bool_:
        beta, alpha = bool(beta), bool(alpha)
    return scaled_sum(input, product * alpha, beta=beta, alpha=1, operation="addr")


def chain_matmul(*matrices: Any) -> Spec:
    """The product of matrices, in the order that needs the fewest multiplications."""
    several = list(matrices[0]) if len(matrices) == 1 and _is_list(matrices[0]) else list(matrices)
    if len(several) == 1:
        return several[0].clone()
    sizes = [m.shape[0] for m in several] + [several[-1].shape[-1]]
    return _in_order(several, _best_splits(sizes), 0, len(several) - 1)


def _best_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each product of neighbours (Cormen, Introduction to Algorithms, 15.2)."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


def _in_order(matrices: list[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return matrices[i]
    k = split[i, j]
    return mm(_in_order(matrices, split, i, k), _in_order(matrices, split, k + 1, j))


@numpy_names
def cross(input: Spec, other: Spec, dim: int | None = None) -> Spec:
    """The vector product along `dim`, the first dimension of size 3 unless given.

    Raises: RuntimeError if the dimension has not 3 elements.
    """
    input, other = broadcast_tensors(input, other)
    if dim is None:
        dim = next((k for k, n in enumerate(input.shape) if n == 3), -1)
    d = normalized_dim(dim, len(input.shape), "cross")
    if input.shape[d] != 3:
        raise ShapeError(
            f"cross: expected 3 elements along dimension {d}. Got shape {tuple(input.shape)}."
        )
    later, earlier = [1, 2, 0], [2, 0, 1]
    first = select_places(input, d, later) * select_places(other, d, earlier)
    return first - select_places(input, d, earlier) * select_places(other, d, later)


def cdist(x1: Spec, x2: Spec, p: float = 2.0, compute_mode: str | None = None) -> Spec:
    """Distances of all rows of x1 (..., P, M) from those of x2 (..., R, M): (..., P, R).

    Raises: RuntimeError for rows of different length or a negative p.
    """
    if len(x1.shape) < 2 or len(x2.shape) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"cdist: expected matrices with rows of one length. Got {tuple(x1.shape)} and "
            f"{tuple(x2.shape)}."
        )
    if p < 0:
        raise RuntimeError(f"cdist: expected p of at least 0. Got {p}.")
    return distance(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def distance(difference: Any, p: float) -> Any:
    """The p-norm over the last dimension, whose gradient is 0 where the difference is."""
    if not difference.shape[-1]:
        return difference.sum(-1)
    size = difference.abs()
    if p == math.inf:
        return size.amax(-1)
    if p == 0:
        return (difference != 0).to(difference.dtype).sum(-1)
    if p == 1:
        return size.sum(-1)
    total = (difference.square() if p == 2 else size**p).sum(-1)
    at_zero = total == 0
    root = total.masked_fill(at_zero, 1.0) ** (1.0 / p)
    return root.masked_fill(at_zero, 0.0)


def dist(input: Spec, other: Spec, p: float = 2) -> Spec:
    """The p-norm of input - other."""
    return (input - other).norm(p)
