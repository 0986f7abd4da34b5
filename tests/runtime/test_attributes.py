"""What code asks of any tensor and of the runtime."""

from __future__ import annotations

import operator
from typing import Any

import pytest

import flambeau as torch
from flambeau.core.dispatch import operations


def test_kinds_that_no_tensor_has() -> None:
    x = torch.ones(2)
    for name in ("nested", "sparse_csr", "mkldnn", "mps", "xla", "xpu", "distributed", "inference"):
        answer = getattr(x, f"is_{name}")
        assert not (answer() if callable(answer) else answer), name
    assert (x.name, x.volatile) == (None, False)
    assert x.is_signed()
    assert not torch.is_signed(torch.ones(2, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (torch.typename(torch.ones(2)), "torch.FloatTensor"),
        (torch.typename(3), "int"),
        (torch.typename(torch.nn.Linear), "flambeau.nn.modules.linear.Linear"),
        (torch.can_cast(torch.float32, torch.int64), False),
        (torch.can_cast(torch.int64, torch.bool), False),
        (torch.can_cast(torch.bool, torch.int64), True),
        (torch.can_cast(torch.float64, torch.float32), True),
        (torch.is_storage(torch.ones(2).storage()), True),
        (torch.get_device(torch.ones(2)), -1),
        (torch.get_device_module("cpu"), torch.cpu),
        (torch.sym_max(2, 3.0), 3.0),
        (torch.sym_int(-2.7), -2),
        (torch.ones(2, 3, 4).permute(2, 0, 1).dim_order(), (1, 2, 0)),
        (torch.vander(torch.tensor([1, 2, 3])).tolist(), [[1, 1, 1], [4, 2, 1], [9, 3, 1]]),
        (torch.vander(torch.tensor([2.0, 3.0]), 3, True).tolist(), [[1, 2, 4], [1, 3, 9]]),
        ((torch.tensor([1, 2]) << 1).tolist(), [2, 4]),
        ((1 << torch.tensor([1, 2])).tolist(), [2, 4]),
        ((torch.tensor([5, 9]) >> 1).tolist(), [2, 4]),
        (torch.tensor([[1, 2], [3, 4]]).__reversed__().tolist(), [[4, 3], [2, 1]]),
        ((+torch.tensor([1.5])).tolist(), [1.5]),
    ],
)
def test_answers_are_pytorchs(found: Any, expected: Any) -> None:
    assert found == expected


def test_a_dtype_reads_the_same_bytes() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    bits = x.view(torch.int32)
    assert bits.tolist()[0] == [0, 1065353216, 1073741824]
    bits.zero_()
    assert x.tolist() == [[0.0] * 3] * 2
    assert x.view(torch.int16).shape == (2, 6)
    assert x.view(dtype=torch.float32).stride() == (3, 1)
    assert torch.arange(4.0).view(torch.complex64).tolist() == [1j, 2 + 3j]
    assert torch.zeros(2, 4, device="meta").view(torch.float64).shape == (2, 2)
    assert not torch.ones(2, requires_grad=True).view(torch.int32).requires_grad


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.view(torch.int64),
        lambda x: x.t().view(torch.int16),
        lambda x: x[0, 0].view(torch.int16),
        lambda x: x.flatten()[1:3].view(torch.float64),
    ],
)
def test_elements_that_do_not_fit_the_bytes_are_refused(call: Any) -> None:
    with pytest.raises(RuntimeError, match="view: expected"):
        call(torch.arange(6.0).reshape(2, 3))


def test_arguments_by_pytorchs_names() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert x.view(size=(3, 2)).shape == x.swapaxes(axis0=0, axis1=1).shape == (3, 2)
    assert x.expand(size=(4, 2, 3)).shape == (4, 2, 3)
    assert [p.shape[1] for p in x.split(split_size=2, dim=1)] == [2, 1]
    assert [p.shape[1] for p in torch.hsplit(x, sections=3)] == [1, 1, 1]
    assert [p.shape[1] for p in torch.tensor_split(x, indices=[1], dim=1)] == [1, 2]
    assert x.bernoulli(p=1.0).tolist() == [[1.0] * 3] * 2
    assert torch.addmv(x[:, 0], mat=x, vec=torch.ones(3)).tolist() == [3.0, 15.0]
    batch = torch.ones(1, 2, 2)
    assert torch.addbmm(torch.ones(2, 2), batch1=batch, batch2=batch).tolist() == [[3.0] * 2] * 2
    assert torch.addr(torch.zeros(2, 2), vec1=x[0, 1:], vec2=x[0, 1:]).tolist() == [[1, 2], [2, 4]]
    assert torch.promote_types(type1=torch.int8, type2=torch.uint8) is torch.int16
    assert torch.result_type(torch.ones(3, dtype=torch.int8), torch.tensor(1.5)) is torch.float32
    assert torch.result_type(torch.ones(2), torch.ones(3)) is torch.float32


def test_set_shows_the_memory_of_another() -> None:
    x, y = torch.arange(6.0), torch.zeros(0)
    assert y.set_(x) is y
    assert y.is_set_to(x)
    x.fill_(7)
    assert y.tolist() == [7.0] * 6
    y.set_(torch.arange(6.0).storage(), 1, (2, 2), (2, 1))
    assert y.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert y.set_().numel() == 0
    with pytest.raises(RuntimeError, match=r"source of torch\.float32"):
        y.set_(torch.ones(2, dtype=torch.int64))


def test_writes_through_set_are_noticed_at_backward() -> None:
    x = torch.ones(3)
    w = torch.ones(3, requires_grad=True)
    y = w * x
    torch.zeros(0).set_(x).mul_(2)
    with pytest.raises(RuntimeError, match="in place"):
        y.sum().backward()


def test_subclasses_keep_the_past() -> None:
    class Mine(torch.Tensor):
        pass

    w = torch.ones(2, requires_grad=True)
    out = (w * 3).as_subclass(Mine)
    assert type(out) is Mine
    out.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_elements_mapped_by_python() -> None:
    x = torch.arange(4.0).reshape(2, 2)
    assert x.map_(torch.tensor([10.0, 20.0]), lambda a, b: a + b) is x
    assert x.tolist() == [[10.0, 21.0], [12.0, 23.0]]
    x.map2_(x, torch.ones(2, 2), lambda a, b, c: a - b + c)
    assert x.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_what_tensors_cannot_do_is_said() -> None:
    x = torch.ones(2)
    with pytest.raises(TypeError, match="keep their elements"):
        del x[0]
    with pytest.raises(RuntimeError, match="complex32"):
        x.chalf()
    with pytest.raises(RuntimeError, match="expected another dtype"):
        x << 1


def test_in_place_operations_are_functions() -> None:
    x = torch.tensor([-1.0, 4.0])
    assert torch.abs_(x) is x
    assert torch.clamp_(torch.sqrt_(x), max=1.5).tolist() == [1.0, 1.5]
    assert torch.index_put_(x, (torch.tensor([0]),), torch.tensor(9.0)).tolist() == [9.0, 1.5]


def test_loading_into_a_module_keeps_its_tensor_unless_told_otherwise() -> None:
    x, other = torch.zeros(2), torch.ones(2)
    assert x.module_load(other).data_ptr() == x.data_ptr()
    assert x.tolist() == [1.0, 1.0]
    assert x.module_load(other, assign=True).data_ptr() == other.data_ptr()


# -- checks and switches ---------------------------------------------------------------------------


def test_checks_raise_the_words_given() -> None:
    torch._check(True)
    torch._check_is_size(3, max=3)
    with pytest.raises(RuntimeError, match="too long"):
        torch._check(False, lambda: "too long")
    with pytest.raises(IndexError, match="cond to be True"):
        torch._check_index(False)
    with pytest.raises(TypeError, match="Got int"):
        torch._check_value(0)
    with pytest.raises(RuntimeError, match="some"):
        torch._check_tensor_all(torch.tensor([True, False]), lambda: "some")
    with pytest.raises(AssertionError, match="no"):
        torch._assert(False, "no")


def test_deterministic_levels() -> None:
    try:
        for level, name in enumerate(("default", "warn", "error")):
            torch.set_deterministic_debug_mode(name)
            assert torch.get_deterministic_debug_mode() == level
            assert torch.are_deterministic_algorithms_enabled() == (level > 0)
            assert torch.is_deterministic_algorithms_warn_only_enabled() == (level == 1)
        with pytest.raises(RuntimeError, match="Got 5"):
            torch.set_deterministic_debug_mode(5)
    finally:
        torch.set_deterministic_debug_mode(0)


def test_the_configuration_names_what_computes() -> None:
    import numpy

    assert f"NumPy {numpy.__version__}" in torch.__config__.show()
    assert f"get_num_threads() : {torch.get_num_threads()}" in torch.__config__.parallel_info()


def test_the_accelerator_is_the_gpu() -> None:
    found = torch.accelerator.is_available()
    assert found == torch.cuda.is_available()
    assert torch.accelerator.device_count() == torch.cuda.device_count()
    assert torch.accelerator.current_accelerator() == (torch.device("cuda") if found else None)
    assert torch.cpu.is_available()
    torch.cpu.synchronize()


def test_names_for_annotations() -> None:
    from flambeau.types import Device, Number

    assert isinstance(2, Number)
    assert isinstance(torch.device("cpu"), Device)
    assert not isinstance("x", Number)


def test_functions_that_methods_also_are() -> None:
    x = torch.ones(2, requires_grad=True)
    assert not torch.detach(x).requires_grad
    assert torch.fill(x, 3.0).tolist() == [3.0, 3.0]
    assert torch.moveaxis(torch.ones(2, 3), 0, 1).shape == (3, 2)


@pytest.mark.parametrize("number", [2, 2.5])
@pytest.mark.parametrize("size", [3, 2000])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"])
def test_a_number_on_the_left_computes_as_a_tensor_of_it_does(
    name: str, size: int, number: float
) -> None:
    function = getattr(operator, name)
    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        x = torch.arange(1, size + 1).remainder(7).add(1).to(dtype)
        wanted = function(torch.tensor(number), x)
        found = function(number, x)
        assert found.dtype is wanted.dtype
        assert torch.equal(found, wanted)


def test_a_number_on_the_left_takes_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(3, requires_grad=True)
    functions = (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow)
    totals = [function(2.0, x).sum().item() for function in functions]
    assert totals == [9.0, 3.0, 6.0, 6.0, 6.0]

    def refuse(*_: object) -> None:
        raise AssertionError("arguments of any sort")

    for name in ("plus", "minus", "mul", "divide", "pow"):
        monkeypatch.setitem(operations[name].function.__globals__, "general", refuse)
    assert [function(2.0, x).sum().item() for function in functions] == totals


def test_a_negative_number_over_small_unsigned_ones_is_negative() -> None:
    x = torch.tensor([2, 3], dtype=torch.uint8)
    assert (-3 / x).tolist() == [-1.5, -1.0]
    assert (x / -2).tolist() == [-1.0, -1.5]
    assert (x + -3).tolist() == [255, 0]  # integers wrap
