"""The matmul family and einsum on random shapes and layouts, against NumPy and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch

from .drawing import (
    COMPLEX,
    FLOATS,
    assert_gradients_equal_differences,
    broadcastable,
    examples,
    operands,
    shapes,
    sizes,
    tolerance,
)


@st.composite
def factors(draw: Any) -> Any:
    """Shapes that matmul takes: vectors, matrices, batches that broadcast, sizes of 0 and 1."""
    n, k, m = draw(sizes), draw(sizes), draw(sizes)
    (left, right), _ = draw(broadcastable(2, max_dims=2))
    a = (*left, n, k) if draw(st.integers(0, 3)) else (k,)
    b = (*right, k, m) if draw(st.integers(0, 3)) else (k,)
    return a, b


@given(pair=factors(), dtype=st.sampled_from((*FLOATS, *COMPLEX, torch.int64)), data=st.data())
@examples(150)
def test_matmul(pair: Any, dtype: Any, data: Any) -> None:
    (x, a), (y, b) = [data.draw(operands(s, dtype)) for s in pair]
    wide = np.complex128 if dtype.is_complex else np.float64
    wanted = np.matmul(a.astype(wide), b.astype(wide))
    found = torch.matmul(x, y)
    assert found.dtype is dtype
    assert tuple(found.shape) == wanted.shape
    np.testing.assert_allclose(
        found.numpy().astype(wide), wanted, **tolerance(dtype, 9 * max(a.shape[-1], 1))
    )


@given(pair=factors(), data=st.data())
@examples(60)
def test_gradients_of_matmul(pair: Any, data: Any) -> None:
    (x, a), (y, b) = [data.draw(operands(s)) for s in pair]
    assert_gradients_equal_differences(torch.matmul, [a, b], [x, y])


@given(pair=factors(), data=st.data())
@examples(40)
def test_shapes_that_do_not_fit_are_refused(pair: Any, data: Any) -> None:
    (x, a), (y, _) = [data.draw(operands(s)) for s in pair]
    longer = torch.ones((*a.shape[:-1], a.shape[-1] + 1), dtype=torch.float64)
    with pytest.raises(RuntimeError):
        torch.matmul(longer, y)
    with pytest.raises(RuntimeError):
        torch.matmul(x, torch.tensor(1.0, dtype=torch.float64))


@given(n=sizes, k=sizes, m=sizes, batch=sizes, data=st.data())
@examples(60)
def test_the_named_products(n: int, k: int, m: int, batch: int, data: Any) -> None:
    def draw(*shape: int) -> Any:
        return data.draw(operands(shape))

    (a, A), (b, B) = draw(n, k), draw(k, m)
    (p, P), (q, Q) = draw(batch, n, k), draw(batch, k, m)
    (v, V), (u, U), (w, W) = draw(k), draw(n), draw(m)
    (c, C), (d, D) = draw(n, m), draw(batch, n, m)
    for function, tensors, arrays, wanted in [
        (torch.mm, (a, b), (A, B), A @ B),
        (torch.bmm, (p, q), (P, Q), P @ Q),
        (torch.mv, (a, v), (A, V), A @ V),
        (torch.dot, (v, v.clone()), (V, V), V @ V),
        (torch.outer, (u, w), (U, W), np.outer(U, W)),
        (torch.inner, (a, b.mT), (A, B.T), np.inner(A, B.T)),
        (torch.kron, (a, w), (A, W), np.kron(A, W)),
        (torch.addmm, (c, a, b), (C, A, B), C + A @ B),
        (torch.addmm, (w, a, b), (W, A, B), W + A @ B),
        (torch.addmv, (u, a, v), (U, A, V), U + A @ V),
        (torch.addr, (c, u, w), (C, U, W), C + np.outer(U, W)),
        (torch.baddbmm, (d, p, q), (D, P, Q), D + P @ Q),
        (torch.addbmm, (c, p, q), (C, P, Q), C + (P @ Q).sum(0)),
        (torch.nn.functional.linear, (a, b.mT, w), (A, B.T, W), A @ B + W),
    ]:
        found = function(*tensors)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)
        assert tuple(found.shape) == wanted.shape
        if n * k * m <= 12 and batch <= 2:
            assert_gradients_equal_differences(function, list(arrays), list(tensors))


@given(n=sizes, k=sizes, m=sizes, alpha=st.sampled_from([0, 1, -0.5]),
       beta=st.sampled_from([0, 1, 2.0]), data=st.data())  # fmt: skip
@examples(40)
def test_addmm_scales_both_terms_and_ignores_what_is_times_zero(
    n: int, k: int, m: int, alpha: float, beta: float, data: Any
) -> None:
    (a, A), (b, B), (c, C) = [data.draw(operands(s)) for s in ((n, k), (k, m), (n, m))]
    found = torch.addmm(c, a, b, alpha=alpha, beta=beta)
    np.testing.assert_allclose(found.numpy(), beta * C + alpha * (A @ B), rtol=1e-12, atol=1e-12)
    if beta == 0:
        nothing = torch.full((n, m), float("nan"), dtype=torch.float64)
        again = torch.addmm(nothing, a, b, alpha=alpha, beta=beta)
        np.testing.assert_array_equal(again.numpy(), found.numpy())


@st.composite
def equations(draw: Any) -> Any:
    """(equation, shapes): letters kept, summed, repeated between operands, dots to broadcast."""
    length = {letter: draw(sizes) for letter in "ijkl"}
    dots = draw(st.booleans())
    (first, second), _ = draw(broadcastable(2, max_dims=2))
    terms, found = [], []
    for batch in (first, second)[: draw(st.integers(1, 2))]:
        letters = draw(st.lists(st.sampled_from("ijkl"), max_size=3))
        sides = [length[c] for c in letters]
        place = draw(st.integers(0, len(letters)))
        if dots:
            terms.append("".join(letters[:place]) + "..." + "".join(letters[place:]))
            found.append((*sides[:place], *batch, *sides[place:]))
        else:
            terms.append("".join(letters))
            found.append(tuple(sides))
    equation = ",".join(terms)
    if draw(st.booleans()):
        used = sorted({c for c in equation if c in length})
        out = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
        equation += "->" + ("..." if dots else "") + "".join(out)
    return equation, found


@given(case=equations(), data=st.data())
@examples(150)
def test_einsum(case: Any, data: Any) -> None:
    equation, wanted_shapes = case
    drawn = [data.draw(operands(s)) for s in wanted_shapes]
    wanted = np.asarray(np.einsum(equation, *[a for _, a in drawn]))
    found = torch.einsum(equation, *[t for t, _ in drawn])
    assert tuple(found.shape) == wanted.shape
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-11, atol=1e-11)
    if sum(a.size for _, a in drawn) <= 40:
        assert_gradients_equal_differences(
            lambda *tensors: torch.einsum(equation, *tensors),
            [a for _, a in drawn],
            [t for t, _ in drawn],
        )


@given(a=shapes(max_dims=3), rest=shapes(max_dims=2), count=st.integers(0, 3), data=st.data())
@examples(60)
def test_tensordot(a: Any, rest: Any, count: int, data: Any) -> None:
    count = min(count, len(a))
    shared = a[len(a) - count :]
    (x, X), (y, Y) = data.draw(operands(a)), data.draw(operands((*shared, *rest)))
    wanted = np.asarray(np.tensordot(X, Y, count))
    found = torch.tensordot(x, y, dims=count)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)
    order = data.draw(st.permutations(range(count)))
    left = [len(a) - count + k - (len(a) if data.draw(st.booleans()) else 0) for k in order]
    found = torch.tensordot(x, y, dims=(left, list(order)))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)
