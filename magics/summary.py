"""`%summary`: a model as a table of its layers, also where its forward pass fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

import flambeau
from flambeau import Tensor
from flambeau.core import observers
from flambeau.nn import Embedding, Module, ModuleDict, ModuleList
from flambeau.nn.parameter import is_lazy
from flambeau.profiler.flops import flops

from .base import Instrument, TextReport, UsageError, count_text, shape_text, table
from .memory.pins import bytes_text
from .twins import evaluated

DEPTH = 4  # levels of modules that are listed unless told otherwise


@dataclass
class Layer:
    """One module: its path, own and inner parameters, and what its last call gave."""

    path: str
    kind: str
    depth: int
    parameters: int
    frozen: int
    is_container: bool = False
    calls: int = 0
    output: str = ""
    nbytes: int = 0
    flops: int = 0
    failed: bool = False


@dataclass
class Summary(TextReport):
    """All layers in the order of the model, sums, and the error of the forward pass, if any."""

    layers: list[Layer]
    parameters: int
    frozen: int
    parameter_bytes: int
    inputs: str = ""
    error: BaseException | None = None
    limit: int = DEPTH
    activation_bytes: int = field(default=0)

    def __str__(self) -> str:
        ran = bool(self.inputs)
        rows: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "FLOP", "")]
        for layer in self.layers:
            if layer.depth <= self.limit:
                rows.append(self._row(layer, ran))
        lines = table(rows, "<<<>><")
        lines.append(self._sums())
        if self.error is not None:
            failed = [x for x in self.layers if x.failed]
            where = f"{failed[-1].path} ({failed[-1].kind})" if failed else "the model's forward"
            lines.append(f"The forward pass failed in {where}: {_first_line(self.error)}")
        return "\n".join(lines)

    __repr__ = __str__

    def _row(self, layer: Layer, ran: bool) -> tuple[str, ...]:
        name = "  " * layer.depth + (layer.path.rpartition(".")[2] or "(model)")
        count = f"{layer.parameters:,}" if layer.parameters else ""
        work = count_text(layer.flops) if layer.flops else ""
        reached = not ran or layer.calls or layer.failed or layer.is_container
        notes = ["✗ failed here"] if layer.failed else []
        if layer.calls > 1:
            notes.append(f"called {layer.calls} times")
        if not reached:
            notes.append("not reached" if self.error is not None else "not called")
        if layer.frozen:
            notes.append("frozen" if layer.frozen == layer.parameters else "partly frozen")
        return name, layer.kind, layer.output, count, work, ", ".join(notes)

    def _sums(self) -> str:
        text = f"{self.parameters:,} parameters, {bytes_text(self.parameter_bytes)}"
        if self.frozen:
            text += f", {self.parameters - self.frozen:,} of them trained"
        if self.inputs:
            number, _, unit = count_text(self.layers[0].flops).partition(" ")
            text += (
                f"; for {self.inputs}: {bytes_text(self.activation_bytes)} of outputs, "
                f"{number} {unit}FLOP"
            )
        return text + "."


def summary(model: Module, *inputs: Any, depth: int = DEPTH, **keywords: Any) -> Summary:
    """The layers of `model`; with `inputs`, one forward pass in evaluation mode gives the shapes.

    A tuple of integers stands for a tensor of that shape. Should the forward pass fail, the layers
    that were reached keep their shapes, and `error` says what happened. Modes, hooks and gradients
    of the model stay as they are: a twin runs in its place, as another thread may train it.
    """
    model = evaluated(model)
    found = _layers(model)
    parameters = _unique(model.parameters())
    frozen = sum(_size(p) for p in parameters if not p.requires_grad)
    total = sum(_size(p) for p in parameters)
    nbytes = sum(int(p._array.nbytes) for p in parameters)
    result = Summary(list(found.values()), total, frozen, nbytes, limit=depth)
    if inputs or keywords:
        given = [as_input(model, x) for x in inputs]
        result.inputs = ", ".join(_described(x) for x in (*given, *keywords.values()))
        watch = _Watch(found)
        with observers.observing(watch), flambeau.no_grad():
            try:
                model(*given, **keywords)
            except Exception as error:
                result.error = error
                watch.mark_failed()
        result.activation_bytes = sum(x.nbytes for k, x in found.items() if _is_leaf(k))
    return result


def _layers(model: Module) -> dict[Module, Layer]:
    found: dict[Module, Layer] = {}
    for path, module in model.named_modules():
        parameters = _unique(module.parameters())
        found[module] = Layer(
            path,
            type(module).__name__,
            path.count(".") + 1 if path else 0,
            sum(_size(p) for p in parameters),
            sum(_size(p) for p in parameters if not p.requires_grad),
            isinstance(module, ModuleList | ModuleDict),
        )
    return found


def _unique(parameters: Any) -> list[Tensor]:
    return list({id(p): p for p in parameters}.values())


def _size(parameter: Tensor) -> int:
    return 0 if is_lazy(parameter) else parameter.numel()


def _is_leaf(module: Module) -> bool:
    return not any(True for _ in module.children())


class _Watch(observers.Observer):
    """Knows which modules run, and adds up the work of operations for all of them."""

    def __init__(self, layers: dict[Module, Layer]) -> None:
        self.layers = layers
        self.thread = threading.get_ident()
        self.running: list[Module] = []
        for module in layers:
            module.register_forward_pre_hook(self.enter, prepend=True)
            module.register_forward_hook(self.leave)

    def enter(self, module: Module, args: Any) -> None:
        self.running.append(module)

    def leave(self, module: Module, args: Any, output: Any) -> None:
        self.running.pop()
        layer = self.layers[module]
        layer.calls += 1
        layer.output = _described(output)
        layer.nbytes += sum(t.nbytes for t in tensors(output))

    def mark_failed(self) -> None:
        """The innermost module that ran when the error came."""
        if self.running:
            self.layers[self.running[-1]].failed = True

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        if outputs[0]._base is not None or threading.get_ident() != self.thread:
            return  # a view computes nothing; what another thread computes is not the model's
        shapes = [tuple(t.shape) for t in tensors(list(inputs))]
        count = flops(name, shapes, tuple(outputs[0].shape))
        for module in dict.fromkeys(self.running):
            self.layers[module].flops += count


def as_input(model: Module, value: Any) -> Any:
    """A shape as a tensor where the model is: of zeros, of integers if an embedding comes first."""
    if not (isinstance(value, tuple) and value and all(type(n) is int for n in value)):
        return value
    parameter = next((p for p in model.parameters() if not is_lazy(p)), None)
    place = parameter.device if parameter is not None else None
    first = next((m for m in model.modules() if _is_leaf(m)), None)
    if isinstance(first, Embedding):
        return flambeau.zeros(value, dtype=flambeau.int64, device=place)
    dtype = parameter.dtype if parameter is not None else None
    return flambeau.zeros(value, dtype=dtype, device=place)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a value, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [t for x in value for t in tensors(x)]
    return []


def _described(value: Any) -> str:
    """The shapes of the tensors in `value`; the class of anything else."""
    found = tensors(value)
    return ", ".join(shape_text(t.shape) for t in found) if found else type(value).__name__


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


@magics_class
class SummaryMagics(Instrument):
    """Shows models as tables."""

    @magic_arguments()
    @argument("-b", "--beside", metavar="MODEL", help="a second model, to compare with")
    @argument("-d", "--depth", type=int, default=DEPTH, help=f"levels of modules ({DEPTH})")
    @argument("model", help="a module")
    @argument("input", nargs="*", help="a tensor, a shape such as (32, 3, 28, 28), several, a dict")
    @line_magic("summary")
    def summary(self, line: str) -> None:
        """Show the layers of a model: parameters, and for an input the shape that each gives and
        the work it takes, also when the forward pass fails half way.

        With --beside, compare two models instead: sizes, work, time, and how far outputs agree.

        Examples: %summary net, %summary net x, %summary net (32, 3, 28, 28),
        %summary teacher x --beside student
        """
        arguments = self.arguments(self.summary, line)
        model = self._model(arguments.model)
        given: Any = ()
        if arguments.input:
            given = self.evaluate("%summary", " ".join(arguments.input))
        if arguments.beside:
            self._compare(model, given, arguments)
        elif isinstance(given, dict):
            display(summary(model, depth=arguments.depth, **given))
        else:
            display(summary(model, *_several(given), depth=arguments.depth))

    def _model(self, expression: str) -> Module:
        model = self.evaluate("%summary", expression)
        if not isinstance(model, Module):
            kind = type(model).__name__
            raise UsageError(f"%summary: expected a module first. Got {expression}, {kind}.")
        return model

    def _compare(self, model: Module, given: Any, arguments: Any) -> None:
        from .beside import beside

        if not arguments.input:
            raise UsageError("%summary: expected an input for two models, as in %summary a x -b b.")
        names, second = (arguments.model, arguments.beside), self._model(arguments.beside)
        values, keywords = ((), given) if isinstance(given, dict) else (_several(given), {})
        try:
            display(beside(model, second, *values, names=names, **keywords))
        except Exception as error:
            raise UsageError(f"%summary: {type(error).__name__}: {error}") from error


def _several(given: Any) -> Sequence[Any]:
    """The inputs that an expression stands for: a tuple of tensors is several, one of integers a
    shape."""
    is_shape = isinstance(given, tuple) and given and all(type(n) is int for n in given)
    return given if isinstance(given, tuple) and not is_shape else (given,)
