"""The tape: accumulation, freed graphs, modes, hooks, in-place writes, depth."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.errors import GradientError


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(list(values), requires_grad=True)


def test_the_first_example_gives_seven() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**2 + 3 * x
    y.backward()
    assert repr(x.grad) == "tensor(7.)"


def test_gradients_add_up_over_backward_passes_and_uses() -> None:
    x = leaf(1.0, 2.0)
    (x * x + x).sum().backward()
    (x * 10).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [13.0, 15.0]


def test_leaves_never_share_gradient_memory() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    x.grad.mul_(0)
    assert y.grad.tolist() == [1.0, 1.0]


def test_both_terms_of_a_sum_get_gradients_of_their_own() -> None:
    """One term has another use: adding that gradient must not change the other term's."""
    x = torch.ones(3, requires_grad=True)
    a, b = x * 2, x * 3
    other = a * 5
    (((a + b) * 7).sum() + other.sum()).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2 * (5 + 7) + 3 * 7] * 3


def test_an_expanded_gradient_is_writeable_at_the_leaf() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    assert x.grad is not None
    x.grad.add_(1)
    assert x.grad.tolist() == [2.0, 2.0]


def test_backward_twice_without_retain_graph_names_the_node_and_the_way_out() -> None:
    x = leaf(1.0, 2.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"MulBackward0.*retain_graph=True"):
        loss.backward()


def test_retain_graph_allows_a_second_pass() -> None:
    x = leaf(3.0)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad is not None
    assert x.grad.item() == 12.0


def test_a_graph_that_saved_nothing_can_be_run_again() -> None:
    x = leaf(3.0)
    loss = (x + 1).sum()
    loss.backward()
    loss.backward()
    assert x.grad is not None
    assert x.grad.item() == 2.0


def test_backward_of_several_elements_needs_a_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"scalar.*\(2,\)"):
        (leaf(1.0, 2.0) * 2).backward()


def test_backward_without_a_graph_says_so() -> None:
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        torch.ones(()).backward()


def test_no_grad_records_nothing_and_enable_grad_switches_back() -> None:
    x = leaf(1.0)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.no_grad(), torch.inference_mode()])
def test_no_grad_decorates_functions_and_generators(mode: object) -> None:
    x = leaf(1.0)

    @mode
    def function() -> bool:
        return (x * 2).requires_grad

    @mode
    def generator():
        yield (x * 2).requires_grad
        yield torch.is_grad_enabled()

    assert function() is False
    steps = generator()
    assert next(steps) is False
    assert torch.is_grad_enabled()
    assert list(steps) == [False]
    assert torch.is_grad_enabled()


def test_set_grad_enabled_works_as_a_call_and_as_a_block() -> None:
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    with torch.set_grad_enabled(False):
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_each_thread_has_its_own_grad_mode() -> None:
    x = leaf(1.0)
    inside, outside = threading.Event(), threading.Event()
    found = []

    def other() -> None:
        with torch.no_grad():
            inside.set()
            outside.wait(10)
            found.append((x * 2).requires_grad)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    assert (x * 2).requires_grad
    outside.set()
    thread.join(10)
    assert found == [False]


def test_detach_shares_memory_and_cuts_the_graph() -> None:
    x = leaf(1.0, 2.0)
    y = (x * 2).detach()
    assert not y.requires_grad
    z = x.detach()
    z[0] = 5.0
    assert x.tolist() == [5.0, 2.0]


def test_hooks_see_and_replace_gradients() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = x.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad is not None
    assert x.grad.tolist() == [30.0, 30.0]
    handle.remove()
    x.grad = None
    (x * 1).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_retain_grad_keeps_the_gradient_of_a_non_leaf() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [6.0, 12.0]


def test_post_accumulate_hook_runs_after_the_gradient_is_there() -> None:
    x = leaf(2.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
    (x * x).sum().backward()
    assert seen == [4.0]


def test_grad_returns_gradients_and_touches_no_leaf() -> None:
    x, y = leaf(2.0), leaf(3.0)
    gx, gy = torch.autograd.grad((x * y).sum(), [x, y])
    assert (gx.item(), gy.item()) == (3.0, 2.0)
    assert x.grad is None


def test_grad_by_a_non_leaf() -> None:
    x = leaf(2.0)
    y = x * x
    (g,) = torch.autograd.grad((y * y).sum(), y)
    assert g.item() == 8.0


def test_grad_of_an_unused_input_says_what_to_do() -> None:
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(RuntimeError, match=r"Input 1.*allow_unused=True"):
        torch.autograd.grad((x * 2).sum(), [x, y])
    assert torch.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None
    assert torch.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)[1].item() == 0.0


def test_third_derivative_of_a_power() -> None:
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y = x**4
    for expected in (32.0, 48.0, 48.0):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected)


def test_backward_with_create_graph_leaves_differentiable_gradients() -> None:
    x = leaf(3.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad is not None
    (g,) = torch.autograd.grad(x.grad.sum(), x)
    assert g.item() == 18.0


def test_backward_restricted_to_inputs() -> None:
    x, y = leaf(2.0), leaf(3.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad is not None
    assert y.grad is None


def test_in_place_change_of_a_saved_tensor_is_an_error_that_names_the_operation() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"mul.*\(2,\).*in place"):
        z.sum().backward()


def test_in_place_change_of_a_saved_result_is_an_error() -> None:
    y = leaf(1.0).exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="ExpBackward0"):
        y.sum().backward()


def test_in_place_change_of_what_is_not_needed_is_fine() -> None:
    x, y = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    h = x * 2
    z = h * y  # saves y only, as y needs no gradient
    h.add_(1)
    z.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6.0, 8.0]


def test_in_place_on_a_leaf_that_requires_grad_is_refused_but_for_no_grad() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="no_grad"):
        x += 1
    with torch.no_grad():
        x += 1
    assert x.item() == 2.0
    assert x.requires_grad


def test_in_place_operations_carry_gradients() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    y *= 3
    y.add_(1).relu_()
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]


def test_writing_into_slices_carries_gradients_both_ways() -> None:
    x, w = leaf(1.0, 2.0, 3.0), leaf(10.0)
    y = x * 2
    y[1] = w[0] * 5
    (y * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad is not None
    assert w.grad is not None
    assert x.grad.tolist() == [2.0, 0.0, 200.0]
    assert w.grad.tolist() == [50.0]


def test_in_place_through_a_view_reaches_the_base() -> None:
    x, w = leaf(1.0, 2.0), leaf(5.0, 6.0)
    base = torch.zeros(2, 2)
    base[0] = x
    row = base[1]
    row += w
    (base * base).sum().backward()
    assert x.grad is not None
    assert w.grad is not None
    assert x.grad.tolist() == [2.0, 4.0]
    assert w.grad.tolist() == [10.0, 12.0]


def test_in_place_result_of_another_shape_or_category_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"\(2,\).*\(2, 2\)"):
        torch.ones(2).add_(torch.ones(2, 2))
    with pytest.raises(RuntimeError, match="int64"):
        torch.tensor([1, 2]).mul_(0.5)


def test_a_chain_of_100_000_nodes_goes_backward_and_is_freed() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0
    del y
    gc.collect()


def test_a_graph_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x.exp() * x).tanh()
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_several_outputs_collect_their_gradients() -> None:
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    a, _, c = x.unbind(1)
    (a * 2 + c * c).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2.0, 0.0, 4.0], [2.0, 0.0, 10.0]]


def test_gradient_flows_through_mixed_dtypes_in_each_ones_own() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.dtype is torch.float32
    assert y.grad.dtype is torch.float64


def test_a_changed_saved_tensor_is_told_with_who_changed_it_and_where() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(GradientError, match=r"input of mul .*last by add_ \(line .*: y\.add_\(1\)"):
        z.sum().backward()


def test_a_parameter_that_an_optimizer_changed_is_told() -> None:
    x = torch.ones(3, requires_grad=True)
    loss = (x * x).sum()
    x.grad = torch.ones(3)
    torch.optim.SGD([x], lr=0.1).step()
    with pytest.raises(GradientError, match=r"last by SGD\.step \(line .*\.step\(\)"):
        loss.backward()


def test_anomaly_mode_names_the_line_of_the_forward_pass() -> None:
    w = torch.zeros(2, requires_grad=True)
    with torch.autograd.detect_anomaly():
        v = (w / w).sum()
        with pytest.raises(GradientError, match=r"recorded at line \d+ of .*: v = \(w / w\)\.sum"):
            v.backward()
    assert not observers.active


def test_anomaly_mode_names_the_node_that_made_nan() -> None:
    x = leaf(0.0)
    with torch.autograd.detect_anomaly(), pytest.raises(GradientError, match="DivBackward0"):
        (x / x).sum().backward()


def test_requires_grad_of_integers_is_refused() -> None:
    with pytest.raises(RuntimeError, match="int64"):
        torch.tensor([1, 2], requires_grad=True)


def test_integer_results_require_no_gradient() -> None:
    x = leaf(1.0, 3.0)
    assert not x.argmax().requires_grad
    assert not (x > 2).requires_grad
    assert not x.long().requires_grad


class Counting(observers.Observer):
    def __init__(self) -> None:
        self.events: list[str] = []

    def operation_done(self, name, inputs, outputs, seconds) -> None:
        self.events.append(f"done {name}")

    def node_recorded(self, node) -> None:
        self.events.append(f"recorded {node.name()}")

    def backward_entered(self, node, gradients) -> None:
        self.events.append(f"entered {node.name()}")

    def backward_left(self, node, gradients, seconds) -> None:
        assert all(g is None or isinstance(g, np.ndarray | np.generic) for g in gradients)
        self.events.append(f"left {node.name()}")


def test_observers_see_operations_nodes_and_the_backward_pass_in_order() -> None:
    x = leaf(1.0, 2.0)
    with observers.observing(Counting()) as seen:
        (x * 3).sum().backward()
    (x * 3).sum().backward()
    assert isinstance(seen, Counting)
    assert seen.events == [
        "done mul", "recorded MulBackward0", "done sum", "recorded SumBackward0",
        "entered SumBackward0", "left SumBackward0", "entered MulBackward0", "left MulBackward0",
    ]  # fmt: skip


def test_a_write_through_one_view_is_seen_by_all_others() -> None:
    """Gradients recorded from PyTorch 2.13."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    base = torch.zeros(4)
    written, other = base[:2], base[1:3]
    written.copy_(x * 2)
    other.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2]
    x.grad = None
    matrix = torch.zeros(2, 2) * 1
    row, turned = matrix[0], matrix.t()
    matrix.mul_(1).add_(x)
    (row * turned[:, 0]).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 4]
    view = base[1:]
    with torch.no_grad():
        base.fill_(1)
    assert view.tolist() == [1, 1, 1]


def test_many_views_leave_no_trace() -> None:
    base = torch.zeros(1000)
    for k in range(1000):
        base[k].add_(1)
    assert base._views is not None
    assert len(base._views) <= 64
