"""The declaration of operations, in three strengths.

`@pointwise` one scalar formula; kernels and gradients of every order follow from it
`@primitive` a shape rule, an array kernel and a gradient rule
`@composite` a body of other operations, with a fused kernel and gradient beside it if it pays

The decorated function is the public signature. Parameters annotated `Spec` are tensors that share
one dtype (mixed ones are promoted), `Index` and `Mask` are tensors of their own dtype that get no
gradient, `list[Spec]` a list of tensors; everything else is an attribute. In a formula, attributes
annotated `float` are numbers given at each call; the others are fixed when the formula is read.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..autograd import symbolic
from ..core import dtypes, expressions
from ..core.dispatch import forget_kernels, operations
from ..core.spec import Spec as _Spec
from . import shapes
from .operation import Operation, Rule, camel

if TYPE_CHECKING:
    from ..core.tensor import Tensor

    Spec = Tensor
    Index = Tensor
    Mask = Tensor
else:
    Spec = Index = Mask = _Spec

Function = TypeVar("Function", bound=Callable[..., Any])

CATEGORIES = {
    "bool": dtypes.BOOL,
    "integer": dtypes.INTEGER,
    "float": dtypes.FLOAT,
    "complex": dtypes.COMPLEX,
}


def _register(operation: Operation) -> None:
    if operation.name in operations:
        raise TypeError(f"Two operations are called {operation.name!r}.")
    operations[operation.name] = operation


def _public(operation: Operation) -> Any:
    """The eager function of `operation`, with the decorators that complete the declaration."""
    function: Any = operation.function
    function.operation = operation
    function.array = lambda f: _set(operation, "array", f)
    function.vjp = lambda saves="", static="", copies_out=False: (
        lambda f: _set_vjp(operation, f, saves, static, copies_out)
    )
    function.gradient = lambda f: _set_gradient(operation, f)
    function.naming = lambda f: _set(operation, "naming", f)
    return function


def _set(operation: Operation, what: str, function: Function) -> Function:
    setattr(operation, what, function)
    return function


def _set_vjp(
    operation: Operation, rule: Function, saves: str, static: str, copies_out: bool
) -> Function:
    """`saves` names inputs and "out", or "out[1:]" for all results but the first; "input:weight" is
    an input that only the gradient of `weight` reads. With `copies_out` a copy of the result is
    saved, and so the result may be written to."""
    operation.vjp_rule = rule
    operation.copies_out = copies_out
    operation.saves_first_out = "out[1:]" not in saves
    pairs = [word.partition(":")[::2] for word in saves.replace("out[1:]", "out").split()]
    operation.saves = frozenset(name for name, _ in pairs)
    operation.readers = {
        name: [operation.array_names.index(r) for r in readers.split(",")]
        for name, readers in pairs
        if readers
    }
    operation.static_names = tuple(static.split())
    unknown = operation.saves - {*operation.array_names, "out"}
    if unknown:
        raise TypeError(f"{operation.name} has no input {', '.join(unknown)} to save.")
    return rule


def primitive(
    function: Any = None,
    *,
    name: str | None = None,
    node_name: str | None = None,
    is_view: bool = False,
    may_alias: bool = False,
    promotes: bool = True,
    is_holomorphic: bool = True,
    moves: bool = False,
    layout: str = "",
    refuses: str = "",
) -> Any:
    """Declare an operation by its shape rule, the decorated function: Specs in, Spec or Specs out.

    Complete it with `@f.array` (kernel of `xp`, arrays, attributes) and `@f.vjp(saves=...,
    static=...)` (gradient rule of `F`, `g`, `needs`, inputs, `out` if saved, attributes). A result
    of an `is_view` operation always shares its input's memory, that of one which `may_alias`
    sometimes does. One that `moves` computes nothing. `layout`: see `backends.layout`. `refuses`
    names the kinds of numbers, of CATEGORIES, that it is not defined for.
    """
    if function is None:
        return lambda f: primitive(
            f,
            name=name,
            node_name=node_name,
            is_view=is_view,
            may_alias=may_alias,
            promotes=promotes,
            is_holomorphic=is_holomorphic,
            moves=moves,
            layout=layout,
            refuses=refuses,
        )
    operation = Operation(function, name, node_name)
    operation.refuses = frozenset(CATEGORIES[kind] for kind in refuses.split())
    operation.is_view = is_view
    operation.may_alias = is_view or may_alias
    operation.promotes = promotes
    operation.is_holomorphic = is_holomorphic
    operation.moves = moves or is_view
    operation.layout = layout
    _register(operation)
    return _public(operation)


def composite(
    function: Any = None,
    *,
    name: str | None = None,
    node_name: str | None = None,
    layout: str = "",
    mixes: bool = False,
) -> Any:
    """Declare an operation by its body, the decorated function of `F` and the arguments.

    With `@f.array` and `@f.vjp` it becomes one node with a fused kernel; the body then gives its
    shape rule and is what the kernel is tested against. One that `mixes` takes each tensor in its
    own dtype, and sees to halves itself.
    """
    if function is None:
        return lambda f: composite(f, name=name, node_name=node_name, layout=layout, mixes=mixes)
    operation = Operation(function, name, node_name)
    operation.layout = layout
    operation.mixes = mixes
    operation.body = function
    operation.rule = lambda *args, **attributes: function(shapes.META, *args, **attributes)
    _register(operation)
    return _public(operation)


def pointwise(
    function: Any = None,
    *,
    name: str | None = None,
    node_name: str | None = None,
    float_result: bool = False,
    is_holomorphic: bool = True,
    tensors: int = 0,
    refuses: str = "",
) -> Any:
    """Declare an operation by its formula of the maths namespace `m` and scalars.

    `float_result`: integers are converted to the default floating type first. `tensors`: how many
    operands, from the first on, PyTorch does not take as numbers. `refuses`: see `primitive`.
    """
    if function is None:
        return lambda f: pointwise(
            f,
            name=name,
            node_name=node_name,
            float_result=float_result,
            is_holomorphic=is_holomorphic,
            tensors=tensors,
            refuses=refuses,
        )
    operation = Operation(function, name, node_name)
    operation.refuses = frozenset(CATEGORIES[kind] for kind in refuses.split())
    operation.tensors = tensors
    operation.float_result = float_result
    operation.is_holomorphic = is_holomorphic
    _make_pointwise(operation, function)
    _register(operation)
    return _public(operation)


def _make_pointwise(operation: Operation, formula: Rule) -> None:
    operation.formula = formula
    operation.rule = lambda *args, **attributes: shapes.pointwise_rule(operation, args, attributes)
    operation.may_alias = False
    _PointwiseGradient(operation, None)


class _PointwiseGradient:
    """Gradient rule of a pointwise operation: per input one more pointwise operation, made on
    demand.

    The gradient operation of input x takes `g` and what the derivative reads of the inputs and the
    output.
    """

    def __init__(self, operation: Operation, given: Rule | None) -> None:
        self.operation = operation
        self.given = given
        operation.vjp_rule = self
        self.made: dict[tuple[Any, ...], tuple[Any, list[str]]] = {}

    def prepare(self) -> None:
        """Find out what must be saved, for the values of static attributes that need most."""
        operation = self.operation
        if operation.formula is None or "prepared" in vars(operation):
            return
        vars(operation)["prepared"] = True
        operation.readers = {}
        saves = set()
        differentiable = self._can_differentiate()
        if not differentiable:
            operation.vjp_rule = None
            return
        for k, name in enumerate(operation.array_names):
            if operation.arrays[k].role == "free":
                continue
            for used in self._reads(name):
                saves.add(used)
                operation.readers.setdefault(used, []).append(k)
        operation.saves = frozenset(saves)

    def _can_differentiate(self) -> bool:
        expression = self.operation.expression({})
        return not expression.is_boolean

    def _reads(self, name: str) -> set[str]:
        """What the gradient of input `name` reads; with static attributes, all that any value may
        need."""
        operation = self.operation
        if operation.statics:
            found = set(operation.array_names)
            reads_out = self.given is not None and _reads_argument(self.given, "out")
            return found | {"out"} if reads_out else found
        expression = self._gradient(name, {})
        return {n for n in expressions.leaves(expression, "input") if n != "g"}

    def _gradient(self, name: str, statics: dict[str, Any]) -> expressions.Expression:
        """The gradient by input `name` as an expression of g, inputs and out."""
        operation = self.operation
        m = expressions.Maths()
        inputs = {n: m.leaf("input", n) for n in operation.array_names}
        numbers = {n: m.leaf("parameter", n) for n in operation.parameter_names}
        chosen = {n: statics.get(n, operation.defaults.get(n)) for n in operation.statics}
        g, out = m.leaf("input", "g"), m.leaf("input", "out")
        if self.given is not None:
            results = self.given(m, g, out, *inputs.values(), **numbers, **chosen)
            results = results if isinstance(results, tuple) else (results,)
            return results[operation.array_names.index(name)]
        assert operation.formula is not None
        root = operation.formula(m, *inputs.values(), **numbers, **chosen)
        if not isinstance(root, expressions.Expression):
            return m.leaf("constant", 0.0)
        result = symbolic.gradients(root, g, [inputs[name]])[0]
        if root.args and not operation.statics:
            result = m.substitute(result, root, out)
        return result

    def operation_for(self, name: str, statics: dict[str, Any]) -> tuple[Any, list[str]] | None:
        """The gradient operation of input `name` and the names of the arrays it takes; None if
        zero."""
        identity = (name, *statics.values())
        found = self.made.get(identity)
        if found is None:
            expression = self._gradient(name, statics)
            if expression.is_constant(0):
                return None
            found = self.made[identity] = self._make(
                expression, f"{self.operation.name}_{name}_gradient"
            )
        return found

    def _make(self, expression: expressions.Expression, name: str) -> tuple[Any, list[str]]:
        """The operation of `expression`, and the names under which its arrays are known here."""
        arrays = expressions.leaves(expression, "input")
        numbers = expressions.leaves(expression, "parameter")
        if expression.op == "input":
            return None, arrays
        # Its own incoming gradient and output will be called g and out again.
        renamed = [f"{n}_of_{self.operation.name}" if n in ("g", "out") else n for n in arrays]
        masks = {p.name for p in self.operation.arrays if p.role == "free"}
        declared = _signature({n: "Mask" if n in masks else "Spec" for n in renamed}, numbers)
        operation = Operation(declared, _unused(name), camel(self.operation.label) + "Gradient")
        operation.derived = True
        _make_pointwise(
            operation, lambda m, *args, **kw: _transplant(m, expression, arrays, args, kw)
        )
        _register(operation)
        return operation, arrays

    def __call__(self, F: Any, g: Any, needs: Any, *inputs: Any, **rest: Any) -> Any:
        operation = self.operation
        values = dict(
            zip(operation.array_names, inputs, strict=True), g=g, out=rest.pop("out", None)
        )
        statics = {n: rest[n] for n in operation.statics}
        found: dict[str, Any] = {}
        calls: dict[str, tuple[Operation, list[Any], dict[str, Any]]] = {}
        for name, need in zip(operation.array_names, needs, strict=True):
            if not need:
                continue
            # Zeros, not None, where the derivative is 0: the input does enter the output.
            made = self.operation_for(name, statics) or (operations["zeros_as"], ["g"])
            derived, arrays = made
            if derived is None:
                found[name] = g
            else:
                numbers = {n: rest[n] for n in derived.parameter_names}
                calls[name] = derived, [values[n] for n in arrays], numbers
        found.update(_computed(F, calls))
        if len(inputs) > 1:
            found = {name: F.sum_to(x, like=values[name]) for name, x in found.items()}
        return tuple([found.get(name) for name in operation.array_names])


def _computed(
    F: Any, calls: dict[str, tuple[Operation, list[Any], dict[str, Any]]]
) -> dict[str, Any]:
    """The results of formulas, computed together where the device can."""
    paired = getattr(type(F), "paired", None)
    if paired is not None and len(calls) == 2 and not any(n for *_, n in calls.values()):
        both = paired(F, [(derived, args) for derived, args, _ in calls.values()])
        if both is not None:
            return dict(zip(calls, both, strict=True))
    return {
        name: getattr(F, derived.name)(*args, **numbers)
        for name, (derived, args, numbers) in calls.items()
    }


def _unused(name: str) -> str:
    """`name`, with a number behind it if an operation is called so already."""
    if name not in operations:
        return name
    number = 2
    while f"{name}{number}" in operations:
        number += 1
    return f"{name}{number}"


def _signature(arrays: dict[str, str], numbers: list[str]) -> Callable[..., Any]:
    """A function whose signature has `arrays` with their annotations and keyword-only `numbers`."""

    def gradient(*args: Any, **kwargs: Any) -> Any:
        raise TypeError("A gradient operation is its formula.")

    kinds = inspect.Parameter
    parameters = [kinds(n, kinds.POSITIONAL_OR_KEYWORD, annotation=a) for n, a in arrays.items()]
    parameters += [kinds(n, kinds.KEYWORD_ONLY, annotation="float") for n in numbers]
    gradient.__signature__ = inspect.Signature(parameters, return_annotation="Spec")  # type: ignore[attr-defined]
    return gradient


def _transplant(
    m: Any, expression: Any, arrays: list[str], args: tuple[Any, ...], numbers: dict[str, Any]
) -> Any:
    """`expression` rebuilt in the namespace `m` on the leaves given."""
    leaves = {("input", n): a for n, a in zip(arrays, args, strict=True)}
    leaves.update({("parameter", n): v for n, v in numbers.items()})
    done: dict[int, Any] = {}
    for node in expressions.walk([expression]):
        if node.args:
            done[id(node)] = m.make(node.op, *[done[id(a)] for a in node.args])
        elif node.op == "constant":
            done[id(node)] = m.leaf("constant", node.value)
        else:
            done[id(node)] = leaves[node.op, node.value]
    return done[id(expression)]


def _reads_argument(function: Any, name: str) -> bool:
    """Whether the function's code reads its argument `name`."""
    loads = (i.argval for i in dis.get_instructions(function) if i.opname.startswith("LOAD"))
    return any(name in (found if isinstance(found, tuple) else (found,)) for found in loads)


def _set_gradient(operation: Operation, formula: Function) -> Function:
    """Use a better-conditioned gradient: a formula of m, g, out, inputs that returns one per
    input."""
    _PointwiseGradient(operation, formula)
    return formula


def kernel(
    function: Any, device: str, when: Callable[..., bool] | None = None, dtype: str = ""
) -> Any:
    """Register a faster kernel for the public operation `function` on `device`, used where
    `when(*arrays, **attributes)` holds; without `when` always, so that a kernel which itself tells
    small arrays from large ones costs them nothing. It must mean the same as the array kernel.

    One for a half type `dtype` gets the arrays as they are; others get them in float32.
    """
    operation: Operation = function.operation

    def register(fast: Function) -> Function:
        operation.kernels.setdefault(device, []).append((when, fast, dtype))
        forget_kernels()
        return fast

    return register
