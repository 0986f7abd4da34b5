"""Functions that the cell defines and does not call: what their tensors would be, going by the
names that sizes are unpacked to and the layers that arguments are given to."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import flambeau
from flambeau import nn
from flambeau.nn import Module

from .frames import Function, UserError
from .recurrent import Recurrent
from .values import MISSING, UNKNOWN

RESHAPES = ("view", "reshape", "flatten", "float")
Shape = tuple[int, ...]


class Hypotheses(Recurrent):
    """Runs functions that were not called on arguments made up for them."""

    def look_into_uncalled(self, body: list[ast.stmt]) -> None:
        """Run each function of the cell, and each `forward`, that nothing has called yet."""
        self.hypothetical = True
        for statement in body:
            if isinstance(statement, ast.FunctionDef):
                self._try(lambda node=statement: self._suppose_function(node))  # type: ignore[misc]
            elif isinstance(statement, ast.ClassDef):
                self._try(lambda node=statement: self._suppose_class(node))  # type: ignore[misc]
        self.hypothetical = False

    def _try(self, run: Callable[[], None]) -> None:
        try:
            run()
        except UserError as error:
            self.report(error)
        except Exception as mishap:
            self.mishaps.append(mishap)

    def flow(self, module: Module) -> tuple[Any, Any] | None:
        """A tensor that the live `module` takes and what it gives for it; None if that is not
        known."""
        found: list[tuple[Any, Any]] = []

        def run() -> None:
            self.hypothetical = True
            twin = self.twin(module)
            if not isinstance(twin, Module):
                return
            record = self.record_of(type(twin).forward)
            if record is None:
                taken = self._tensor_of(None, self._leaf(twin, depth=4))
                if taken is not None:
                    found.append((taken, self.call_module(twin, [taken], {}, ast.Pass())))
                return
            names = self._supposed_names(record, twin)
            if len(names) > 1:
                taken = list(names.values())[1]
                found.append((taken, self.activate(record, names, twin)))

        self._try(run)
        return found[0] if found and not self.findings else None

    def _supposed_names(self, forward: Function, module: Module) -> dict[str, Any]:
        """The arguments of a `forward`, made up as far as the layers tell; empty without self."""
        names = self.unknown_arguments(forward)
        if not names:
            return names
        names[next(iter(names))] = module
        positional = [p.arg for p in (*forward.node.args.posonlyargs, *forward.node.args.args)]
        names.update(zip(reversed(positional), reversed(forward.defaults), strict=False))
        names.update(forward.keyword_defaults)
        self._suppose(forward.node, names, module)
        return names

    def _suppose_function(self, node: ast.FunctionDef) -> None:
        record = self.record_of(self.frame.scope.names.get(node.name))
        if record is None or record.node in self.entered_nodes:
            return
        names = self.unknown_arguments(record)
        positional = [p.arg for p in (*node.args.posonlyargs, *node.args.args)]
        names.update(zip(reversed(positional), reversed(record.defaults), strict=False))
        names.update(record.keyword_defaults)
        self._suppose(node, names, None)
        self.activate(record, names, MISSING)

    def _suppose_class(self, node: ast.ClassDef) -> None:
        made = self.frame.scope.names.get(node.name)
        if not isinstance(made, type) or not issubclass(made, Module):
            return
        forward = self.record_of(vars(made).get("forward"))
        if forward is None or forward.node in self.entered_nodes:
            return
        start = self.record_of(vars(made).get("__init__"))
        arguments = {} if start is None else self._sizes(start)
        before = len(self.findings)
        module = self.call(made, [], arguments, node)
        if not isinstance(module, Module) or len(self.findings) != before:
            return
        names = self._supposed_names(forward, module)
        if names:
            self.activate(forward, names, module)

    def _sizes(self, start: Any) -> dict[str, Any]:
        """Symbolic sizes for the parameters of `__init__` that have no default."""
        arguments = start.node.args
        names = [p.arg for p in arguments.args[1:]]
        required = names[: len(names) - len(start.defaults)]
        required += [p.arg for p in arguments.kwonlyargs if p.arg not in start.keyword_defaults]
        return {
            p.arg: self.symbols.fresh(p.arg) if _is_size(start.node, p) else UNKNOWN
            for p in (*arguments.args[1:], *arguments.kwonlyargs)
            if p.arg in required
        }

    # -- what arguments would be -------------------------------------------------------------------

    def _suppose(self, node: Any, names: dict[str, Any], owner: Any) -> None:
        """Make up tensors for the parameters in `names` that are not known."""
        for name, value in list(names.items()):
            if value is not UNKNOWN:
                continue
            unpacked = _unpacked(node, name)
            layer = None if owner is None else self._first_layer(node, name, owner)
            tensor = self._tensor_of(unpacked, layer)
            if tensor is not None:
                names[name] = tensor

    def _tensor_of(self, unpacked: list[str] | None, layer: Module | None) -> Any:
        wanted, dtype = (None, flambeau.float32) if layer is None else self._wanted(layer)
        if unpacked is None and wanted is None:
            return None
        if unpacked is None:
            return flambeau.empty(wanted or (), dtype=dtype)
        shape = [self.symbols.fresh(name if name != "_" else "?") for name in unpacked]
        if wanted is not None and layer is not None:
            dim = -1 if isinstance(layer, FLAT) else 1
            if not isinstance(layer, nn.Embedding) and len(shape) >= len(wanted) - (dim == -1):
                shape[dim] = wanted[dim]
        return flambeau.empty(tuple(shape), dtype=dtype)

    def _wanted(self, layer: Module) -> tuple[Shape | None, Any]:
        """A shape that `layer` takes, and the dtype."""
        fresh = self.symbols.fresh
        if isinstance(layer, nn.Embedding):
            return (fresh("B"), fresh("T")), flambeau.int64
        if isinstance(layer, nn.Linear):
            return (fresh("B"), layer.in_features), flambeau.float32
        if isinstance(layer, nn.LayerNorm):
            return (fresh("B"), *layer.normalized_shape), flambeau.float32
        if isinstance(layer, nn.RNNBase | nn.TransformerEncoderLayer):
            is_network = isinstance(layer, nn.RNNBase)
            batch_first = (layer if is_network else layer.self_attn).batch_first
            width = layer.input_size if is_network else layer.linear1.in_features
            order = "BT" if batch_first else "TB"
            return (fresh(order[0]), fresh(order[1]), width), flambeau.float32
        if isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d):
            return (fresh("B"), layer.num_features, fresh("H"), fresh("W")), flambeau.float32
        for kind, sizes in ((nn.Conv1d, "L"), (nn.Conv2d, "HW"), (nn.Conv3d, "DHW")):
            if isinstance(layer, kind):
                spatial = [fresh(size) for size in sizes]
                return (fresh("B"), layer.in_channels, *spatial), flambeau.float32
        return None, flambeau.float32

    def _first_layer(self, node: Any, name: str, owner: Any, depth: int = 4) -> Module | None:
        """The first layer of `owner` that `node`, its forward, gives the argument `name` to."""
        for call in _calls_in_order(node):
            if not call.args or not _is_name(call.args[0], name):
                continue
            if isinstance(call.func, ast.Attribute) and _is_name(call.func.value, "self"):
                layer = self.quietly(getattr, owner, call.func.attr)
                return self._leaf(layer, depth)
        return None

    def _leaf(self, layer: Any, depth: int) -> Module | None:
        """The layer that gets the input of `layer` first."""
        if not isinstance(layer, Module) or depth == 0:
            return None
        record = self.record_of(type(layer).forward)
        if record is not None:
            parameters = record.node.args.args
            if len(parameters) < 2:
                return None
            return self._first_layer(record.node, parameters[1].arg, layer, depth - 1)
        if isinstance(layer, nn.Sequential | nn.TransformerEncoder):
            inner = layer.layers if isinstance(layer, nn.TransformerEncoder) else layer
            return next((self._leaf(child, depth - 1) for child in inner), None)
        return layer


FLAT = (nn.Linear, nn.LayerNorm, nn.RNNBase, nn.TransformerEncoderLayer)
"""Layers whose input has its features in the last dimension."""


def _is_size(node: ast.AST, parameter: ast.arg) -> bool:
    """Whether a parameter may be an int: nothing says otherwise, and no attribute of it is used."""
    if parameter.annotation is not None:
        return ast.unparse(parameter.annotation) == "int"
    return not any(
        isinstance(each, ast.Attribute | ast.Subscript | ast.Call)
        and _is_name(each.func if isinstance(each, ast.Call) else each.value, parameter.arg)
        for each in ast.walk(node)
    )


def _calls_in_order(node: Any) -> list[ast.Call]:
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
    return sorted(calls, key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0))


def _is_name(node: ast.expr, name: str) -> bool:
    """Whether `node` is the variable `name`, or that in another shape."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr not in RESHAPES:
            return False
        node = node.func.value
    return isinstance(node, ast.Name) and node.id == name


def _unpacked(node: Any, name: str) -> list[str] | None:
    """The names that the sizes of `name` are unpacked to: `B, T, C = x.shape`."""
    for each in ast.walk(node):
        if not isinstance(each, ast.Assign) or not isinstance(each.targets[0], ast.Tuple):
            continue
        value: ast.expr = each.value
        if isinstance(value, ast.Call) and not value.args:
            value = value.func
        sizes = isinstance(value, ast.Attribute) and value.attr in ("shape", "size")
        elements = each.targets[0].elts
        if not sizes or not _is_name(value.value, name):  # type: ignore[attr-defined]
            continue
        if all(isinstance(e, ast.Name) for e in elements):
            return [e.id for e in elements if isinstance(e, ast.Name)]
    return None
