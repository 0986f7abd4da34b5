"""`torch.export`: a model as a graph of operations, apart from the Python that made it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..core.tensor import Tensor
from ..fx import Graph, GraphModule
from ..nn import Module, Parameter
from .shapes import opened_by_shapes
from .tracing import Traced, trace

__all__ = ["ExportGraphSignature", "ExportedProgram", "export"]


@dataclass(frozen=True)
class ExportGraphSignature:
    """The names of what a graph reads and returns, by kind."""

    user_inputs: tuple[str, ...]
    user_outputs: tuple[str, ...]
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    buffers_to_mutate: dict[str, str] = field(default_factory=dict)
    """By the name of what the graph computes, the buffer that takes it."""


class ExportedModule(Module):
    """Calls a traced graph with the arguments of the model that it was traced from."""

    def __init__(self, traced: Traced) -> None:
        super().__init__()
        self.graph_module = traced.module
        self.__dict__["_traced"] = traced

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns."""
        return self.__dict__["_traced"](*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Parameters and buffers under the names of the model."""
        return self.graph_module.state_dict(*args, **kwargs)


class ExportedProgram:
    """A traced model: `graph` is its graph of operations, `module()` runs it.

    Made by `torch.export.export`, kept in files by `torch.export.save` and `load`.
    """

    def __init__(self, traced: Traced) -> None:
        self.traced = traced

    @property
    def graph_module(self) -> GraphModule:
        """The module that runs the graph on the tensors among the arguments."""
        return self.traced.module

    @property
    def graph(self) -> Graph:
        """The graph of operations."""
        return self.traced.module.graph

    @property
    def graph_signature(self) -> ExportGraphSignature:
        """Names of inputs, outputs, parameters and buffers."""
        output = self.graph.find_nodes(op="output")[0]
        read = [str(n.target) for n in self.graph.find_nodes(op="get_attr")]
        parameters = dict(self.traced.module.named_parameters())
        updates = self.traced.updates
        names = [n.name for n in output.args[0]]
        return ExportGraphSignature(
            tuple(self.traced.input_names),
            tuple(names[len(updates) :]),
            tuple(n for n in read if n in parameters),
            tuple(n for n in read if n not in parameters),
            dict(zip(names, updates, strict=False)),
        )

    @property
    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name."""
        return dict(self.traced.module.state_dict())

    @property
    def constants(self) -> dict[str, Any]:
        """Tensors of the graph that are no part of the model's state."""
        return {n: b for n, b in self.traced.module.named_buffers() if n.startswith("_tensor_")}

    @property
    def example_inputs(self) -> tuple[Tensor, ...]:
        """The tensors that the model was traced on."""
        return tuple(self.traced.examples)

    def parameters(self) -> list[Parameter]:
        """The parameters that the graph reads."""
        return list(self.traced.module.parameters())

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """The same with their names."""
        return list(self.traced.module.named_parameters())

    def buffers(self) -> list[Tensor]:
        """The buffers and other constants that the graph reads."""
        return list(self.traced.module.buffers())

    def named_buffers(self) -> list[tuple[str, Tensor]]:
        """The same with their names."""
        return list(self.traced.module.named_buffers())

    def run_decompositions(self, decomp_table: Any = None, **options: Any) -> ExportedProgram:
        """The program itself: its graph has nothing but operations."""
        return self

    def module(self) -> Module:
        """A module that takes the arguments of the traced model, and returns what it returns."""
        return ExportedModule(self.traced)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ExportedProgram: call program.module()(...) instead.")

    def __str__(self) -> str:
        names = "".join(f"    {line}\n" for line in self.traced.module.code.splitlines())
        return f"ExportedProgram:\n{names}Graph signature: {self.graph_signature}"


def export(
    mod: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    strict: bool = False,
    **options: Any,
) -> ExportedProgram:
    """Run the module `mod` on the arguments and keep the operations it does as a graph.

    Sizes are fixed to those of the arguments, but for the dimensions in `dynamic_shapes`, which is
    in the shape of the arguments: `{"x": {0: Dim("batch")}}`. The model is then run at several
    sizes, which tells how others follow. Python's `if` and `for` are as they were in these runs.
    Modules keep their mode: call `eval()` first to export for inference.

    Raises: ExportError for what cannot be traced, with the line.

    Example:
        >>> program = torch.export.export(torch.nn.ReLU(), (torch.tensor([-1.0, 2.0]),))
        >>> program.module()(torch.tensor([3.0, -4.0]))
        tensor([3., 0.])
    """
    if not isinstance(args, tuple):
        raise TypeError(
            f"torch.export.export: expected a tuple of arguments. Got {type(args).__name__}."
        )
    opened = None
    if dynamic_shapes is not None:
        opened = opened_by_shapes(mod, args, kwargs or {}, dynamic_shapes)
    return ExportedProgram(trace(mod, args, kwargs, opened=opened, keeps_mode=True))
