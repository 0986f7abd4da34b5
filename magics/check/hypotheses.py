"""Functions that the cell defines and does not call: what their tensors would be, going by the
names that sizes are unpacked to and the layers that arguments are given to."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import flambeau
from flambeau import nn
from flambeau.nn import Module

from .findings import Finding
from .frames import BudgetSpentError, Function, UserError
from .recurrent import Recurrent
from .values import MISSING, UNKNOWN

RESHAPES = ("view", "reshape", "flatten", "float")
SEQUENCES = ("tuple", "list", "sequence", "dict", "typing.tuple", "typing.list")
NAMED_SETTERS = (
    "setattr",
    "register_buffer",
    "register_parameter",
    "add_module",
    "register_module",
)
Shape = tuple[int, ...]


class Hypotheses(Recurrent):
    """Runs functions that were not called on arguments made up for them."""

    setters: Mapping[str, set[str]] = MappingProxyType({})
    """Classes of the cell that set an attribute of themselves, by its name; "" for all others."""

    def look_into_uncalled(self, body: list[ast.stmt]) -> None:
        """Run each function of the cell, and each `forward`, that nothing has called yet."""
        self.hypothetical = True
        self.setters = _setters(body)
        for statement in body:
            if isinstance(statement, ast.FunctionDef):
                self._try(lambda node=statement: self._suppose_function(node))  # type: ignore[misc]
            elif isinstance(statement, ast.ClassDef):
                self._try(lambda node=statement: self._suppose_class(node))  # type: ignore[misc]
        self.hypothetical = False

    def report(self, error: UserError) -> None:
        """Keep the finding of `error`, unless other arguments might have spared it."""
        missing = error.error
        if self.hypothetical and isinstance(missing, AttributeError) and self._is_given(missing):
            return
        super().report(error)

    def _is_given(self, missing: AttributeError) -> bool:
        """Whether the cell sets the missing attribute somewhere: in another method or branch, in a
        subclass, or from outside."""
        kind = type(missing.obj)
        if missing.obj is None:  # an argument that has no value by default
            return True
        family = [c for c in self.classes if issubclass(c, kind) or issubclass(kind, c)]
        if any(hasattr(each, missing.name or "") for each in family):
            return True
        setters = self.setters.get(missing.name or "", set())
        return "" in setters or any(each.__name__ in setters for each in family)

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
        self.hypothetical = True
        twin = self.twin(module)
        for taken, run in self._flows(twin) if isinstance(twin, Module) else ():
            before, given = dict(self.findings), list[Any]()
            self._try(lambda run=run, given=given: given.append(run()))  # type: ignore[misc]
            if given and self.findings == before:
                return taken, given[0]
            self.findings = before
        return None

    def _flows(self, module: Module) -> Iterator[tuple[Any, Callable[[], Any]]]:
        """What a module may take, the likeliest first, each with a run of it."""
        forward = self.record_of(type(module).forward)
        if forward is None:
            layer = self._leaf(module, depth=4)
            shapes, dtype = ([], flambeau.float32) if layer is None else self._wanted(layer)
            for taken in (flambeau.empty(shape, dtype=dtype) for shape in shapes):
                yield taken, partial(self.call_module, module, [taken], {}, ast.Pass())
            return
        names = self._arguments_of(forward, module)
        known: dict[str, int] = {}
        inputs = [
            (name, self._tensors_of(forward.node, name, module, known))
            for name, value in names.items()
            if value is UNKNOWN
        ]
        if inputs and inputs[0][0] == [*names][1]:
            for taken in inputs[0][1]:
                more = {name: tensors[0] for name, tensors in inputs[1:] if tensors}
                given = {**names, **more, inputs[0][0]: taken}
                yield taken, partial(self.activate, forward, given, module)

    def _arguments_of(self, forward: Function, module: Module) -> dict[str, Any]:
        """The arguments of a `forward` as far as they are known; none if it lacks even `self`."""
        names = self.unknown_arguments(forward)
        if not names:
            return names
        names[next(iter(names))] = module
        positional = [p.arg for p in forward.node.args.args]
        names.update(zip(reversed(positional), reversed(forward.defaults), strict=False))
        return names

    def _suppose_function(self, node: ast.FunctionDef) -> None:
        record = self.record_of(self.frame.scope.names.get(node.name))
        if record is None or record.node in self.entered_nodes:
            return
        names = self.unknown_arguments(record)
        positional = [p.arg for p in (*node.args.posonlyargs, *node.args.args)]
        names.update(zip(reversed(positional), reversed(record.defaults), strict=False))
        names.update(record.keyword_defaults)
        self._run_supposed(record, names, None)

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
        if type(module) is not made or len(self.findings) != before:
            return
        names = self._arguments_of(forward, module)
        if names:
            self._run_supposed(forward, names, module)

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

    def _run_supposed(self, record: Function, names: dict[str, Any], owner: Any) -> None:
        """Run a function on tensors made up for the arguments in `names` that are not known.

        Where a layer takes tensors of several ranks, a rank on which all goes well is the one that
        was meant; where there is none, what goes wrong on every rank is found.
        """
        first = MISSING if owner is None else owner
        known: dict[str, int] = {}
        alternatives = {
            name: self._tensors_of(record.node, name, owner, known)
            for name, value in names.items()
            if value is UNKNOWN
        }
        trials = max((len(each) for each in alternatives.values()), default=1)
        before, hints = self.findings, self.hints
        wrong: dict[Any, Finding] | None = None
        try:
            for k in range(max(trials, 1)):
                given = {n: each[min(k, len(each) - 1)] for n, each in alternatives.items() if each}
                self.findings, self.hints = dict(before), dict(hints)
                self._try(partial(self.activate, record, {**names, **given}, first))
                found = {key: f for key, f in self.findings.items() if key not in before}
                wrong = found if wrong is None else {k: f for k, f in wrong.items() if k in found}
                if not found:
                    break
        except BudgetSpentError:
            wrong = None
            raise
        finally:
            self.findings = {**before, **(wrong or {})}

    def _tensors_of(self, node: Any, name: str, owner: Any, known: dict[str, int]) -> list[Any]:
        """Tensors that the parameter `name` may be, the likeliest first; none if nothing is known.

        Sizes that are unpacked to one name are equal: they are kept in `known`.
        """
        if _is_sequence(node, name):
            return []
        layer = None if owner is None else self._first_layer(node, name, owner)
        shapes, dtype = ([], flambeau.float32) if layer is None else self._wanted(layer)
        unpackings = _unpackings(node, name)
        if unpackings:
            for size in (size for sizes in unpackings for size in sizes if size not in known):
                known[size] = self.symbols.fresh(size)
            shapes = [self._unpacked(sizes, shapes, layer, known) for sizes in unpackings]
        return [flambeau.empty(shape, dtype=dtype) for shape in shapes]

    def _unpacked(
        self, sizes: list[str], wanted: list[Shape], layer: Module | None, known: dict[str, int]
    ) -> Shape:
        """A shape whose dimensions have the names `sizes`, and the features that `layer` takes."""
        shape = [self.symbols.fresh("?") if size == "_" else known[size] for size in sizes]
        if wanted and not isinstance(layer, nn.Embedding):
            dim = -1 if isinstance(layer, FLAT) else 1
            if len(shape) >= len(wanted[0]) - (dim == -1):
                shape[dim] = wanted[0][dim]
        return tuple(shape)

    def _wanted(self, layer: Module) -> tuple[list[Shape], Any]:
        """Shapes that `layer` takes, the likeliest first, and the dtype."""
        fresh = self.symbols.fresh
        if isinstance(layer, nn.Embedding):
            return [(fresh("B"), fresh("T"))], flambeau.int64
        if isinstance(layer, nn.Linear | nn.LayerNorm):
            last = (layer.in_features,) if isinstance(layer, nn.Linear) else layer.normalized_shape
            batch = fresh("B")
            inner = [(), (fresh("T"),), (fresh("H"), fresh("W"))]
            return [(batch, *sizes, *last) for sizes in inner], flambeau.float32
        if isinstance(layer, nn.RNNBase | nn.TransformerEncoderLayer):
            is_network = isinstance(layer, nn.RNNBase)
            order = "BT" if (layer if is_network else layer.self_attn).batch_first else "TB"
            width = layer.input_size if is_network else layer.linear1.in_features
            return [(fresh(order[0]), fresh(order[1]), width)], flambeau.float32
        if isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d):
            return [(fresh("B"), layer.num_features, fresh("H"), fresh("W"))], flambeau.float32
        for kind, sizes in ((nn.Conv1d, "L"), (nn.Conv2d, "HW"), (nn.Conv3d, "DHW")):
            if isinstance(layer, kind):
                spatial = [fresh(size) for size in sizes]
                return [(fresh("B"), layer.in_channels, *spatial)], flambeau.float32
        return [], flambeau.float32

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


def _is_sequence(node: Any, name: str) -> bool:
    """Whether the parameter `name` is said to be, or used as, a sequence of tensors."""
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = [p.annotation for p in parameters if p.arg == name and p.annotation is not None]
    if any(ast.unparse(each).lower().startswith(SEQUENCES) for each in annotations):
        return True
    return any(
        isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Tuple | ast.List)
        and isinstance(each.value, ast.Name)
        and each.value.id == name
        for each in ast.walk(node)
    )


def _unpackings(node: Any, name: str) -> list[list[str]]:
    """The names that the sizes of `name` are unpacked to, `B, T, C = x.shape`: of every number of
    dimensions the first."""
    found: dict[int, list[str]] = {}
    for each in ast.walk(node):
        if not isinstance(each, ast.Assign) or not isinstance(each.targets[0], ast.Tuple):
            continue
        value: ast.expr = each.value
        called = isinstance(value, ast.Call) and not value.args
        if called:
            value = value.func  # type: ignore[attr-defined]
        sizes = isinstance(value, ast.Attribute) and value.attr == ("size" if called else "shape")
        elements = [e.id for e in each.targets[0].elts if isinstance(e, ast.Name)]
        if not sizes or not _is_name(value.value, name):  # type: ignore[attr-defined]
            continue
        if len(elements) == len(each.targets[0].elts):
            found.setdefault(len(elements), elements)
    return list(found.values())


def _setters(body: list[ast.stmt]) -> dict[str, set[str]]:
    """By the name of an attribute, the classes whose methods set it on `self`, and "" if it is set
    on something else, or by its name as a string."""
    found: dict[str, set[str]] = {}

    def visit(node: ast.AST, owner: str) -> None:
        if isinstance(node, ast.ClassDef):
            owner = node.name
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.attr, set()).add(owner if _is_name(node.value, "self") else "")
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(NAMED_SETTERS):
            for each in node.args:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    found.setdefault(each.value, set()).add("")
        for child in ast.iter_child_nodes(node):
            visit(child, owner)

    for statement in body:
        visit(statement, "")
    return found
