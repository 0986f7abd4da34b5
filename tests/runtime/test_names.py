"""Names that programs for PyTorch look up before they do anything."""

from __future__ import annotations

import pytest

import flambeau as torch
import flambeau.nn.functional as F


def test_nothing_is_scripted_traced_or_compiled() -> None:
    assert not torch.jit.is_scripting()
    assert not torch.jit.is_tracing()
    assert not torch.compiler.is_compiling()
    assert not torch._dynamo.is_compiling()


def test_decorators_leave_functions_as_they_are() -> None:
    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    for decorate in (
        torch.jit.script, torch.jit.unused, torch.jit.ignore, torch.jit.ignore(drop=True),
        torch.jit.export, torch.jit.script_if_tracing, torch.jit._overload_method,
        torch.compiler.allow_in_graph,
    ):  # fmt: skip
        assert decorate(double) is double
    assert torch.jit.trace(double, torch.ones(2)) is double
    with pytest.raises(TypeError):
        torch.jit.trace(double, (1, 2))
    with pytest.raises(RuntimeError, match="state_dict"):
        torch.jit.load("x.pt")
    assert torch.jit.annotate(int, 3) == 3
    assert not isinstance(torch.nn.ReLU(), torch.jit.ScriptModule)  # libraries tell them apart


def test_sizes_are_given_once_or_for_every_dimension() -> None:
    from flambeau.nn.modules.utils import _pair, _single, _triple

    assert _pair(3) == (3, 3)
    assert _pair((1, 2)) == (1, 2)
    assert (_single(4), _triple([1, 2, 3])) == ((4,), (1, 2, 3))


def test_switches_of_libraries() -> None:
    import flambeau.backends.cudnn as cudnn

    assert torch.backends.cudnn is cudnn
    before = cudnn.deterministic
    cudnn.deterministic = True
    assert torch.backends.cudnn.deterministic
    cudnn.deterministic = before
    assert not torch.backends.mps.is_available()
    assert not torch.backends.mkl.is_available()
    torch.backends.cuda.matmul.allow_tf32 = True
    assert torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.backends.cuda.sdp_kernel(enable_flash=True):
        pass


def test_versions() -> None:
    assert torch.version.__version__ == torch.__version__
    assert torch.__version__.endswith(f"+flambeau.{torch.version.release}")
    assert torch.__version__ >= "2.4"
    assert torch.__version__ > "1.9"
    assert torch.__version__ >= (2, 13, 0)
    assert not torch.__version__ < (2, 13)
    assert torch.__version__ < "3"
    assert torch.__version__ <= "2.13.0"
    assert tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) == (2, 13)
    with pytest.raises(TypeError, match="a version to compare with"):
        _ = torch.__version__ < 2
    assert torch.version.hip is None
    if not torch.cuda.is_available():
        assert torch.version.cuda is None


def test_layers_in_the_first_package_take_the_kernels_order() -> None:
    x = torch.arange(12.0).reshape(2, 3, 2)
    weight, bias = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0])
    mean, var = torch.zeros(3), torch.ones(3)
    found = torch.batch_norm(x, weight, bias, mean, var, False, 0.1, 1e-5, True)
    assert torch.equal(found, F.batch_norm(x, mean, var, weight, bias))
    found = torch.instance_norm(x, weight, bias, None, None, True, 0.1, 1e-5, False)
    assert torch.equal(found, F.instance_norm(x, weight=weight, bias=bias))


def test_wide_unsigned_integers_meet_no_other_integers() -> None:
    x = torch.tensor([1, 2**16 - 1], dtype=torch.uint16)
    assert x.tolist() == [1, 65535]
    assert (x * 2.0).dtype is torch.float32
    assert (x * 1).dtype is torch.uint16
    assert x.sum().dtype is torch.int64
    assert torch.tensor(2**64 - 1, dtype=torch.uint64).item() == 2**64 - 1
    with pytest.raises(RuntimeError, match=r"torch.uint16 and torch.int64"):
        x + torch.tensor([1, 2])


def test_forms_that_are_easily_forgotten() -> None:
    assert torch.zeros(2).copy_(3).tolist() == [3.0, 3.0]
    flags = torch.tensor([True, True, False])
    filled = torch.index_fill(flags, 0, torch.tensor([0]), torch.tensor(0.0))
    assert filled.tolist() == [False, True, False]
    assert torch.tensor(1.0).movedim(0, 0).item() == 1.0
    assert torch.histogram(torch.rand(5)).hist.shape == (100,)
    assert torch.tensor([[1, 1], [0, 1]]).matrix_power(3).tolist() == [[1, 3], [0, 1]]
    assert torch.kl_div(torch.zeros(2), torch.ones(2)).shape == (2,)


def test_sizes_are_taken_by_keyword() -> None:
    for make in (torch.zeros, torch.ones, torch.empty, torch.rand, torch.randn):
        assert make(size=(2, 3)).shape == (2, 3)
    assert torch.full(size=(2,), fill_value=3).tolist() == [3, 3]
    x = torch.arange(6)
    assert x.reshape(shape=(2, 3)).permute(dims=(1, 0)).shape == (3, 2)
    assert torch.reshape(input=x, shape=(3, 2)).shape == (3, 2)
    for drawn in (torch.randint(5, size=(9,)), torch.randint(high=5, size=(9,))):
        assert all(0 <= n < 5 for n in drawn.tolist())
    assert set(torch.randint(low=3, high=4, size=(4,)).tolist()) == {3}
    with pytest.raises(TypeError, match="expected high and size"):
        torch.randint(5)


def test_without_a_gpu_questions_about_it_are_answered_and_wishes_refused() -> None:
    cuda = torch.cuda
    if cuda.is_available():
        pytest.skip("there is a GPU")
    assert not cuda.is_bf16_supported()
    assert not cuda.is_initialized()
    assert cuda.max_memory_allocated() == cuda.max_memory_reserved() == 0
    assert cuda.get_rng_state_all() == []
    cuda.reset_peak_memory_stats()
    cuda.ipc_collect()
    assert not isinstance(torch.ones(1), cuda.FloatTensor)
    assert issubclass(cuda.OutOfMemoryError, RuntimeError)
    with cuda.stream(None):
        pass
    for wish in (cuda.Stream, cuda.Event, cuda.current_stream, cuda.get_device_properties):
        with pytest.raises(RuntimeError, match=r"GPU|CUDA"):
            wish()
