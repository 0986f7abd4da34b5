"""Names that programs for PyTorch look up before they do anything."""

from __future__ import annotations

import pytest

import flambeau as torch


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
        torch.compiler.disable, torch.compiler.disable(), torch.compiler.allow_in_graph,
    ):  # fmt: skip
        assert decorate(double) is double
    assert torch.jit.trace(double, torch.ones(2)) is double
    with pytest.raises(TypeError):
        torch.jit.trace(double, (1, 2))
    with pytest.raises(RuntimeError, match="state_dict"):
        torch.jit.load("x.pt")


def test_compile_says_once_that_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.compiler._told", False)
    net = torch.nn.Linear(2, 1)
    with pytest.warns(UserWarning, match="runs eagerly"):
        assert torch.compile(net) is net
    assert torch.compile(mode="max-autotune")(net) is net


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
    assert torch.version.hip is None
    if not torch.cuda.is_available():
        assert torch.version.cuda is None
