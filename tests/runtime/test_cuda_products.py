"""Matrix products by cuBLAS: operands in any layout, every type, TF32."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import cublaslt, matrices, ways

from .cupy_stand_in import blas_lt

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


@pytest.fixture
def asked() -> list[dict[str, Any]]:
    """What the stand-in for cuBLASLt ran."""
    if torch.cuda.get_device_name() != "stand-in":
        pytest.skip("The library itself does not say what it ran.")
    blas_lt.asked.clear()
    return blas_lt.asked


ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def operand(shape: tuple[int, ...], dtype: Any, layout: str, seed: int) -> Any:
    """Normal numbers whose last two dimensions lie in memory as `layout` says."""
    drawn = np.asarray(np.random.RandomState(seed).randn(*shape))
    values = torch.from_numpy(drawn).to(dtype).cuda()
    if layout == "transposed" and len(shape) > 1:
        return values.mT.contiguous().mT
    if layout == "with gaps":
        wide = torch.zeros(*shape[:-1], shape[-1] + 3, dtype=dtype, device="cuda")
        wide[..., 1:-2] = values
        return wide[..., 1:-2]
    if layout == "every second":
        wide = torch.zeros(*shape[:-1], 2 * shape[-1], dtype=dtype, device="cuda")
        wide[..., ::2] = values
        return wide[..., ::2]
    return values


SHAPES = [
    ((3, 4), (4, 5)), ((1, 4), (4, 1)), ((3, 1), (1, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)), ((6, 1, 3, 4), (2, 4, 5)), ((3, 0), (0, 5)), ((0, 4), (4, 5)),
    ((1, 3, 4), (2, 4, 5)), ((2, 1, 4), (2, 4, 1)), ((3, 4), (4,)), ((2, 3, 4), (4,)),
    ((4,), (4, 5)), ((4,), (2, 4, 5)), ((4,), (4,)),
]  # fmt: skip
LAYOUTS = ("plain", "transposed", "with gaps", "every second")


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_products_of_every_layout_equal_those_in_double_precision(shapes: Any, dtype: Any) -> None:
    for left in LAYOUTS:
        for right in LAYOUTS:
            x, y = operand(shapes[0], dtype, left, 0), operand(shapes[1], dtype, right, 1)
            found = x @ y
            wanted = x.cpu().double().numpy() @ y.cpu().double().numpy()
            assert (found.dtype, found.device.type) == (dtype, "cuda")
            np.testing.assert_allclose(
                found.cpu().double().numpy(), wanted, rtol=ROUNDING[dtype], atol=ROUNDING[dtype] * 4
            )


@pytest.fixture
def library() -> Iterator[Any]:
    """Chooses who computes, until the test ends."""
    yield torch.backends.cuda.preferred_blas_library
    torch.backends.cuda.preferred_blas_library("default")


@pytest.mark.parametrize("chosen", ["cublaslt", "cublas"])
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (4,), (0, 4)], ids=str)
def test_layers_and_their_gradients_equal_the_cpus(
    shape: Any, dtype: Any, chosen: str, library: Any
) -> None:
    assert library(chosen) == library() == chosen
    found = []
    for place in ("cpu", "cuda"):
        x = operand(shape, torch.float64, "plain", 0).cpu().to(dtype).to(place).requires_grad_()
        w = operand((5, 4), torch.float64, "plain", 1).cpu().to(dtype).to(place).requires_grad_()
        b = operand((5,), torch.float64, "plain", 2).cpu().to(dtype).to(place).requires_grad_()
        out = torch.nn.functional.linear(x, w, b)
        out.sum().backward()
        found.append([out, x.grad, w.grad, b.grad])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(
            b.detach().cpu().double().numpy(), a.detach().double().numpy(),
            rtol=ROUNDING[dtype] * 4, atol=ROUNDING[dtype] * 8,
        )  # fmt: skip


def test_tf32_is_taken_where_it_is_allowed(asked: Any) -> None:
    x = torch.ones(2, 2, device="cuda")
    torch.set_float32_matmul_precision("highest")
    x @ x
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        x @ x
        x.double() @ x.double()
        x.half() @ x.half()
    finally:
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert [each["sums"] for each in asked] == [68, 77, 70, 68]


def epilogues(asked: list[dict[str, Any]]) -> list[str]:
    """What followed the products, by name, since this was called last."""
    names = {number: name for name, number in cublaslt.EPILOGUES.items()}
    found = [names[each["epilogue"]] for each in asked]
    asked.clear()
    return found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_bias_and_its_gradient_come_with_the_products(asked: Any, dtype: Any) -> None:
    layer = torch.nn.Linear(4, 3, device="cuda", dtype=dtype)
    out = layer(torch.ones(2, 5, 4, device="cuda", dtype=dtype, requires_grad=True))
    assert epilogues(asked) == ["bias"]
    out.backward(torch.ones_like(out))
    assert epilogues(asked) == ["", "sums left"]
    assert layer.bias.grad.tolist() == [10] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_sum_with_a_product_is_one_launch_forward_and_two_backward(
    asked: Any, dtype: Any
) -> None:
    x, w = (operand(s, dtype, "plain", 0).requires_grad_() for s in ((5, 4), (4, 3)))
    bias, term = (operand(s, dtype, "plain", 1).requires_grad_() for s in ((3,), (5, 3)))
    for added, words in ((bias, ("bias", "sums right")), (term, ("", ""))):
        out = torch.addmm(added, x, w)
        assert (epilogues(asked), out.grad_fn.name()) == ([words[0]], "AddmmBackward0")
        out.backward(torch.ones_like(out))
        assert epilogues(asked) == ["", words[1]]
    assert bias.grad.tolist() == [5] * 3
    batch = torch.baddbmm(term, x[None], w[None])
    assert (epilogues(asked), batch.grad_fn.name()) == ([""], "BaddbmmBackward0")


TERMS = [(5, 3), (3,), (5, 1), (1, 3), (1,), ()]
FACTORS = [(1, 1), (0.5, 2), (0, 1), (1, 0)]


@pytest.mark.parametrize("chosen", ["cublaslt", "cublas"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [(), (2,)], ids=["addmm", "baddbmm"])
def test_sums_with_products_and_their_gradients_equal_those_in_double_precision(
    batch: tuple[int, ...], layout: str, chosen: str, library: Any
) -> None:
    library(chosen)
    function = torch.baddbmm if batch else torch.addmm
    x, w = (
        operand((*batch, 5, 4), torch.float32, layout, 0),
        operand((*batch, 4, 3), torch.float32, layout, 1),
    )
    terms = [operand(s, torch.float32, layout if len(s) > 1 else "plain", 2) for s in TERMS]
    terms += [operand((*batch, 5, 3), torch.float32, layout, 3)]
    for term in terms:
        for beta, alpha in FACTORS:
            found = []
            for to in (lambda t: t.cpu().double(), lambda t: t):
                leaves = [to(t).detach().requires_grad_() for t in (term, x, w)]
                out = function(*leaves, beta=beta, alpha=alpha)
                found.append([out, *torch.autograd.grad(out.cos().sum(), leaves)])
            for wanted, got in zip(*found, strict=True):
                assert got.device.type == "cuda"
                assert torch.allclose(got.cpu().double(), wanted, rtol=1e-4, atol=1e-5)


def test_a_factor_of_0_drops_nan() -> None:
    nan, one = torch.full((2, 2), float("nan"), device="cuda"), torch.ones(2, 2, device="cuda")
    assert torch.addmm(nan, one, one, beta=0, alpha=2).tolist() == [[4, 4]] * 2
    assert torch.addmm(one, nan, one, beta=2, alpha=0).tolist() == [[2, 2]] * 2


def test_what_cublaslt_has_no_algorithm_for_is_done_in_steps(asked: Any) -> None:
    layer = torch.nn.Linear(4, 3, device="cuda", dtype=torch.float64)  # bias gradient: not there
    out = layer(torch.ones(2, 4, device="cuda", dtype=torch.float64))
    out.backward(torch.ones_like(out))
    assert epilogues(asked) == ["bias", ""]
    assert layer.bias.grad.tolist() == [2] * 3
    strided = torch.ones(6, device="cuda", dtype=torch.float64)[::2]
    out = torch.nn.functional.linear(
        torch.ones(2, 4, device="cuda").double(), layer.weight, strided
    )
    assert epilogues(asked) == [""]
    assert torch.allclose(out, layer.weight.sum(1) + 1)


def test_sums_are_rounded_where_it_is_allowed(asked: Any, library: Any) -> None:
    switches = torch.backends.cuda.matmul
    name = "allow_bf16_reduced_precision_reduction"
    x, y = torch.ones(2, 2, device="cuda").bfloat16(), torch.ones(2, 2, device="cuda").half()
    for value, scheme in ((False, 2), ((False, False), 0), ((True,), 7), (True, 7)):
        setattr(switches, name, value)
        for a in (x, y, x.float()):
            a @ a
        assert (getattr(switches, name), [each["schemes"] for each in asked]) == (
            scheme == 7, [scheme, 7, 7],
        )  # fmt: skip
        asked.clear()
    for chosen in ("cublaslt", "cublas"):
        library(chosen)
        for switches.allow_fp16_accumulation in (True, False):
            assert (y @ y).tolist() == (x @ x).tolist() == [[2, 2]] * 2
    assert [each["sums"] for each in asked] == [64, 68, 68, 68]


def test_switches_refuse_what_they_do_not_know() -> None:
    switches = torch.backends.cuda.matmul
    with pytest.raises(TypeError, match=r"one or two. Got \(True, True, True\)"):
        switches.allow_fp16_reduced_precision_reduction = (True, True, True)
    with pytest.raises(RuntimeError, match=r"none, ieee, tf32\. Got 'bf16'"):
        switches.fp32_precision = "bf16"
    with pytest.raises(AttributeError):
        switches.allow_tf31 = True
    with pytest.raises(RuntimeError, match=r"default, cublas, cublaslt\. Got 'magma'"):
        torch.backends.cuda.preferred_blas_library("magma")


INTEGERS = {
    "weights": ((5, 8), (8, 12), "transposed"), "plain": ((5, 8), (8, 12), "plain"),
    "turned": ((5, 8), (8, 12), "every second"), "odd": ((5, 7), (7, 12), "plain"),
    "narrow": ((5, 8), (8, 3), "transposed"), "a row": ((1, 4), (4, 4), "transposed"),
    "nothing": ((0, 4), (4, 4), "plain"), "long": ((2, 2048), (2048, 4), "plain"),
}  # fmt: skip


@pytest.mark.parametrize("case", INTEGERS)
def test_products_of_int8_are_exact(case: str, asked: Any) -> None:
    *shapes, layout = INTEGERS[case]
    found = []
    for seed, (shape, lies) in enumerate(zip(shapes, ("plain", layout), strict=True)):
        values = np.random.RandomState(seed).randint(-128, 128, shape).astype(np.int8)
        found.append(operand(shape, torch.int8, lies, 0))
        found[-1][...] = torch.from_numpy(values).cuda()
    out = torch._int_mm(*found)
    wanted = found[0].cpu().numpy().astype(int) @ found[1].cpu().numpy().astype(int)
    assert (out.dtype, out.device.type) == (torch.int32, "cuda")
    np.testing.assert_array_equal(out.cpu().numpy(), wanted)
    on_integer_units = case not in ("odd", "narrow", "nothing")
    assert (72 in [each["sums"] for each in asked]) == on_integer_units


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_quantized_products_run_on_the_units_of_integers(dtype: Any, asked: Any) -> None:
    from flambeau.ops.int8 import int8_linear

    stream = np.random.RandomState(0)
    limits = np.iinfo(dtype.numpy)
    codes = stream.randint(limits.min, limits.max + 1, (5, 8)).astype(dtype.numpy)
    weight = stream.randint(-127, 128, (12, 8)).astype(np.int8)
    scale, bias = torch.full((12,), 2.0**-8), torch.arange(12.0)
    given = [torch.tensor(a) for a in (codes, weight)] + [scale, bias]
    out = int8_linear(*(t.cuda() for t in given), zero_point=3)
    wanted = (codes.astype(int) - 3) @ weight.T.astype(int) * 2.0**-8 + np.arange(12)
    np.testing.assert_array_equal(out.cpu().numpy(), wanted.astype(np.float32))
    assert 72 in [each["sums"] for each in asked]


def test_a_failing_product_names_the_status(monkeypatch: Any, asked: Any) -> None:
    x = torch.ones(2, 3, device="cuda")
    w = torch.ones(3, 2, device="cuda")
    x @ w
    monkeypatch.setattr(blas_lt, "HANDLE", 0)
    with pytest.raises(RuntimeError, match=r"cublasLtMatmul to succeed.*NOT_INITIALIZED"):
        x @ w


def test_a_product_that_is_refused_when_it_runs_is_cublass_from_then_on(
    monkeypatch: Any, asked: Any
) -> None:
    layer = torch.nn.Linear(7, 3, device="cuda")
    x = torch.ones(2, 7, device="cuda")
    wanted = layer(x)
    monkeypatch.setattr(blas_lt, "fails", True)
    asked.clear()
    with pytest.warns(UserWarning, match=r"NOT_SUPPORTED.*cuBLAS computes"):
        found = layer(x)
    assert torch.equal(found, wanted)
    monkeypatch.setattr(blas_lt, "fails", False)
    assert torch.equal(layer(x), wanted)
    assert asked == []


def test_a_large_product_is_not_slowed_down_by_sums() -> None:
    for rows, inputs, outputs, pay in (
        (128, 784, 512, True), (8192, 64, 64, True), (8192, 768, 3072, False),
        (8192, 3072, 768, False),
    ):  # fmt: skip
        left = matrices.Operand(outputs, rows, outputs, True)
        right = matrices.Operand(rows, inputs, inputs, False)
        problem = matrices.Problem("bfloat16", left, right, 68, 256, 256, epilogue="sums left")
        assert (rows, inputs, outputs, ways._sums_pay(problem)) == (rows, inputs, outputs, pay)


@pytest.mark.parametrize(("rows", "waves", "words"), [
    (2048, 0.2, ["", ""]), (2048, 0.8, ["", "sums left"]), (16, 0.2, ["", "sums left"]),
])  # fmt: skip
def test_a_long_sum_is_not_kept_from_idle_multiprocessors(
    rows: int, waves: float, words: list[str], monkeypatch: Any, asked: Any
) -> None:
    monkeypatch.setattr(blas_lt, "waves", {cublaslt.EPILOGUES["sums left"]: waves})
    ways.forget()
    cublaslt.functions = blas_lt.library()
    half = {"device": "cuda", "dtype": torch.bfloat16}
    layer = torch.nn.Linear(4, 3, **half)
    out = layer(torch.ones(rows, 4, **half, requires_grad=True))
    asked.clear()
    out.backward(torch.ones_like(out))
    assert epilogues(asked) == words
    assert layer.bias.grad.tolist() == [rows] * 3


def test_each_device_has_a_handle_of_its_own(asked: Any) -> None:
    x = torch.ones(2, 3, device="cuda:1")
    assert (x @ x.mT).tolist() == [[3, 3]] * 2
    assert len(asked) == 1


def test_a_product_whose_description_is_refused_is_cublass(monkeypatch: Any, asked: Any) -> None:
    monkeypatch.setitem(blas_lt.SIZES, "MatmulDesc", {})
    x = torch.ones(2, 9, device="cuda")
    with pytest.warns(UserWarning, match=r"MatmulDescSetAttribute\(3\).*INVALID_VALUE"):
        found = x @ x.mT
    assert (found.tolist(), asked) == ([[9, 9]] * 2, [])


def test_plans_which_each_run_changes_are_a_threads_own() -> None:
    x = torch.ones(2, 3, device="cuda")
    used: list[set[int]] = []

    def work() -> None:
        assert (x @ x.mT).tolist() == [[3, 3]] * 2
        used.append({id(way) for way in ways._ways.known.values()})

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(used) == 2
    assert not used[0] & used[1] - {id(ways.IMPOSSIBLE)}
