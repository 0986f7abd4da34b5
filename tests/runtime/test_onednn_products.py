"""oneDNN's matrix products against products in float64, over shapes, strides and dtypes."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn import library as onednn
from flambeau.backends.cpu.onednn import primitives, products
from flambeau.backends.cpu.onednn.library import library

from ..programs import PATIENCE, finished, printed

pytestmark = pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
GENERATOR = np.random.default_rng(0)


def uniform(*shape: int) -> Any:
    return GENERATOR.uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """oneDNN for any size; the list counts its calls."""
    calls: list[int] = []
    found = library()
    assert found is not None
    call = type(found).call

    def counted(self: Any, name: str, *arguments: Any) -> None:
        if name in ("sgemm", "primitive_execute"):
            calls.append(1)
        call(self, name, *arguments)

    monkeypatch.setattr(products, "LEAST", 1)
    monkeypatch.setattr(products, "FEW_ROWS", 1)
    monkeypatch.setattr(products, "FEW", 0)
    monkeypatch.setattr(type(found), "call", counted)
    return calls


def transposed(*shape: int) -> Any:
    return uniform(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)


def gapped(*shape: int) -> Any:
    return uniform(*shape[:-1], shape[-1] + 5)[..., 3:-2]


def apart(*shape: int) -> Any:
    return uniform(*shape[:-2], 2 * shape[-2], 3 * shape[-1])[..., ::2, ::3]


def reversed_rows(*shape: int) -> Any:
    return uniform(*shape)[..., ::-1, :]


LAYOUTS = [uniform, transposed, gapped, apart, reversed_rows]
SHAPES = [
    ((7, 5), (5, 9)), ((1, 5), (5, 9)), ((7, 1), (1, 9)), ((7, 5), (5, 1)), ((1, 1), (1, 1)),
    ((3, 7, 5), (3, 5, 9)), ((3, 7, 5), (5, 9)), ((7, 5), (3, 5, 9)), ((2, 1, 7, 5), (3, 5, 9)),
    ((2, 3, 7, 5), (2, 3, 5, 9)),
]  # fmt: skip


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_products_of_any_layout_equal_those_in_float64(
    left: Any, right: Any, always: list[int]
) -> None:
    for a, b in SHAPES:
        x, y = left(*a), right(*b)
        expected = np.matmul(x.astype(float), y.astype(float))
        for out in [products.matmul(x, y) for _ in range(3)]:  # by other code when repeated
            assert out.shape == expected.shape
            assert out.dtype == np.float32
            np.testing.assert_allclose(out, expected, rtol=0, atol=5 * 2**-22)
    assert always


@pytest.mark.parametrize(
    ("a", "b"), [((0, 5), (5, 9)), ((7, 0), (0, 9)), ((3, 0, 5), (3, 5, 9)), ((0, 7, 5), (5, 9))]
)
def test_empty_operands_give_zeros(a: Any, b: Any, always: list[int]) -> None:
    found = torch.zeros(a) @ torch.zeros(b)
    assert found.shape == np.matmul(np.zeros(a), np.zeros(b)).shape
    assert (found == 0).all()


def test_operands_that_do_not_fit_are_refused_as_small_ones_are(always: list[int]) -> None:
    with pytest.raises(RuntimeError, match=r"input \(7, 5\) has 5 columns, other \(6, 9\)"):
        torch.zeros(7, 5) @ torch.zeros(6, 9)
    with pytest.raises(RuntimeError, match="expected input with 5 features"):
        torch.nn.functional.linear(torch.zeros(7, 4), torch.zeros(9, 5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.complex64])
def test_other_dtypes_stay_with_numpy(dtype: Any, always: list[int]) -> None:
    x = torch.ones(40, 40, dtype=dtype)
    assert ((x @ x) == 40).all()
    assert not always


@pytest.mark.parametrize("leading", [(7,), (2, 7), ()])
def test_linear_and_its_gradients_equal_those_in_float64(leading: Any, always: list[int]) -> None:
    arrays = [uniform(*leading, 5), uniform(9, 5), uniform(9)]
    grads = []
    for dtype in (torch.float32, torch.float32, torch.float32, torch.float64):
        tensors = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]
        out = torch.nn.functional.linear(*tensors)
        (out * out).sum().backward()
        grads.append([out.detach().numpy(), *[t.grad.numpy() for t in tensors]])
    for *singles, double in zip(*grads, strict=True):
        for single in singles:
            np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)
    assert always or not leading


def test_second_derivatives_of_products_pass_gradgradcheck_s_float32_form(
    always: list[int],
) -> None:
    x, y = (torch.tensor(uniform(6, 6), requires_grad=True) for _ in range(2))
    first = torch.autograd.grad((x @ y).square().sum(), x, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), y)[0]
    a, b = x.detach().double().requires_grad_(), y.detach().double().requires_grad_()
    expected = torch.autograd.grad((a @ b).square().sum(), a, create_graph=True)[0]
    expected = torch.autograd.grad(expected.sum(), b)[0]
    np.testing.assert_allclose(second.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


def test_threads_multiply_at_the_same_time_without_disturbing_each_other() -> None:
    x, y = uniform(8, 96, 96), uniform(8, 96, 96)
    expected = products.matmul(x, y)
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(products.matmul(x, y), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert wrong == []


def _multiply(queue: Any, x: Any) -> None:
    torch.set_num_threads(1)
    one = products.matmul(x, x)
    torch.set_num_threads(2)
    queue.put((one, products.matmul(x, x)))


def test_a_forked_process_multiplies_after_its_parent_did() -> None:
    x = uniform(200, 200)
    expected = products.matmul(x, x)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_multiply, args=(queue, x))
    process.start()
    for found in queue.get(timeout=60):
        np.testing.assert_allclose(found, expected, atol=1e-3)
    process.join(60)
    assert process.exitcode == 0


AFTER_JOBLIB = """
import os, signal
os.environ["KMP_INIT_AT_FORK"] = "FALSE"
import flambeau as torch
torch.set_num_threads(2)
x = torch.ones(400, 400)
x @ x
child = os.fork()
if child == 0:
    signal.alarm(60)
    x @ x
    os._exit(0)
print(os.waitpid(child, 0)[1], os.environ["KMP_INIT_AT_FORK"])
"""


def test_a_forked_process_computes_where_joblib_forbids_openmp_to_begin_anew() -> None:
    done = finished(sys.executable, "-c", AFTER_JOBLIB)
    assert done.stdout.split() == ["0", "FALSE"], done.stderr


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="OpenMP leaves its files there")
@pytest.mark.parametrize("threads", [None, 1])
def test_a_forked_process_leaves_no_file_in_shared_memory(
    threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "_threads", threads)
    x = uniform(200, 200)
    products.matmul(x, x)
    process = multiprocessing.get_context("fork").Process(target=products.matmul, args=(x, x))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert not list(Path("/dev/shm").glob(f"*_{process.pid}_*"))


def test_primitives_are_bounded_and_can_be_let_go(
    always: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    primitives.free()
    monkeypatch.setattr(primitives, "CAPACITY", 3)
    for n in [k for k in range(1, 8) for _ in range(2)]:
        products.matmul(uniform(2, n, n), uniform(2, n, n))
    assert primitives.free() == 3
    assert primitives.free() == 0
    assert products.matmul(uniform(2, 4, 4), uniform(2, 4, 4)).shape == (2, 4, 4)


def test_products_go_on_without_the_library(always: list[int]) -> None:
    x = torch.tensor(uniform(8, 8))
    expected = x @ x
    count = len(always)
    with torch.backends.mkldnn.flags(enabled=False):
        np.testing.assert_allclose((x @ x).numpy(), expected.numpy(), atol=1e-5)
        assert torch.backends.mkldnn.is_available()
    assert len(always) == count


def test_the_library_is_loaded_by_the_first_large_product_only() -> None:
    code = (
        "import flambeau as torch\n"
        "def there(): return 'libdnnl' in open('/proc/self/maps').read()\n"
        "torch.ones(8, 8) @ torch.ones(8, 8)\n"
        "before = there()\n"
        "torch.ones(512, 512) @ torch.ones(512, 512)\n"
        "print(before, there())"
    )
    assert printed(sys.executable, "-c", code).split() == ["False", "True"]


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("make", [uniform, transposed, gapped, apart])
@pytest.mark.parametrize(("columns", "outputs"), [(577, 3001), (4096, 513)])
def test_few_rows_meet_each_row_of_the_matrix_once(
    rows: int, make: Any, columns: int, outputs: int
) -> None:
    x, weight, bias = make(rows, columns), uniform(outputs, columns), uniform(2 * outputs)[::2]
    expected = x.astype(np.float64) @ weight.T.astype(np.float64)
    tolerance = {"rtol": 0, "atol": columns * 2.0**-24}
    np.testing.assert_allclose(products.linear(x, weight), expected, **tolerance)
    np.testing.assert_allclose(
        products.linear(x[None], weight, bias)[0], expected + bias, **tolerance
    )
    x[0, -1] = np.nan
    assert (np.isnan(products.matmul(x, weight.T)).all(1) == [True, False, False][:rows]).all()


def test_few_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(torch.errors.ShapeError, match="linear"):
        torch.nn.functional.linear(torch.ones(2, 1000), torch.ones(3000, 999))


def test_few_rows_each_of_an_exchanged_batch_are_one_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """128 products of 8 rows take six times as long as one of 1,024 after a copy."""
    seen: list[Any] = []
    product = products.product

    def watched(x: Any, y: Any) -> Any:
        seen.append(x.shape)
        return product(x, y)

    monkeypatch.setattr(products, "product", watched)
    x = np.random.RandomState(0).randn(8, 60, 64).astype(np.float32).transpose(1, 0, 2)
    y = np.random.RandomState(1).randn(64, 48).astype(np.float32)
    wanted = np.matmul(x.astype(np.float64), y)
    np.testing.assert_allclose(products.matmul(x, y), wanted, rtol=1e-4, atol=1e-4)
    assert seen == [(480, 64)]
