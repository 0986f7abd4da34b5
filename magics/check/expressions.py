"""Expressions of the abstract run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, ClassVar

import flambeau
from flambeau.core.tensor import Tensor

from .attempts import Attempts
from .frames import UserError
from .spelling import closest
from .values import MISSING, SOME_FLOAT, SOME_INT, UNKNOWN, Stream, with_numbers

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.BitAnd: operator.and_,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
MOST_ITEMS = 4096  # of a sequence that the run makes or goes through
LARGEST_POWER = 512  # bits of an integer that the run computes


class Expressions(Attempts):
    """Evaluates expressions; what a value depends on and is not known makes it UNKNOWN."""

    array_types: ClassVar[tuple[type, ...]] = (Tensor,)
    """Types whose items are numbers, one as good as the other."""

    slices_numbers = False  # whether the index being evaluated is one of such an array

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression."""
        self.tick()
        method = getattr(self, f"eval_{node.__class__.__name__}", None)
        return UNKNOWN if method is None else method(node)

    # -- names and literals ----------------------------------------------------------------------

    def eval_Constant(self, node: ast.Constant) -> Any:
        return node.value

    def eval_Name(self, node: ast.Name) -> Any:
        found = self.frame.scope.find(node.id)
        if found is MISSING:
            found = self.global_name(self.frame.scope.globals, node.id)
        return UNKNOWN if found is MISSING else found

    def eval_Tuple(self, node: ast.Tuple) -> Any:
        items, exact = self._elements(node.elts)
        return tuple(items) if exact else UNKNOWN

    def eval_List(self, node: ast.List) -> Any:
        items, exact = self._elements(node.elts)
        return items if exact else self.mark_open(items)

    def eval_Set(self, node: ast.Set) -> Any:
        items, exact = self._elements(node.elts)
        try:
            found = {item for item in items if not self.is_opaque(item)}
        except TypeError:
            return UNKNOWN
        return found if exact and len(found) == len(items) else self.mark_open(found)

    def _elements(self, nodes: list[ast.expr]) -> tuple[list[Any], bool]:
        items: list[Any] = []
        exact = True
        for each in nodes:
            if isinstance(each, ast.Starred):
                more, all_of_them = self.items_of(self.evaluate(each.value), each)
                items.extend(more)
                exact &= all_of_them
            else:
                items.append(self.evaluate(each))
        return items, exact

    def eval_Dict(self, node: ast.Dict) -> Any:
        found: dict[Any, Any] = {}
        exact = True
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                other = self.evaluate(value)
                if isinstance(other, dict):
                    found.update(other)
                    exact &= id(other) not in self.open
                else:
                    exact = False
                continue
            name, item = self.evaluate(key), self.evaluate(value)
            try:
                found[name] = item
            except TypeError:
                exact = False
            exact &= not self.is_opaque(name)
        for name in [key for key in found if self.is_opaque(key)]:
            del found[name]
        return found if exact else self.mark_open(found)

    def eval_JoinedStr(self, node: ast.JoinedStr) -> Any:
        parts = [self.evaluate(value) for value in node.values]
        known = all(isinstance(part, str) for part in parts)
        return "".join(parts) if known else UNKNOWN

    def eval_FormattedValue(self, node: ast.FormattedValue) -> Any:
        value = self.evaluate(node.value)
        form = "" if node.format_spec is None else self.evaluate(node.format_spec)
        if (
            self.is_opaque(value)
            or not isinstance(value, str | int | float | None)
            or not isinstance(form, str)
        ):
            return UNKNOWN
        if node.conversion == ord("r"):
            value = repr(value)
        return self.quietly(format, value, form)

    def eval_Slice(self, node: ast.Slice) -> Any:
        parts = [
            None if p is None else self.evaluate(p) for p in (node.lower, node.upper, node.step)
        ]
        anywhere = self.slices_numbers and node.lower is not None and node.step is None
        if anywhere and parts[0].__class__ is not int:
            length = self._length_from(node.lower, node.upper)
            if length is not None:
                return slice(0, length)  # as good as any place
        return slice(*parts)

    def _length_from(self, lower: ast.expr | None, upper: ast.expr | None) -> int | None:
        """The length n of a slice `k : k + n` that begins anywhere; None for other slices."""
        if lower is None or not isinstance(upper, ast.BinOp) or not isinstance(upper.op, ast.Add):
            return None
        if ast.dump(upper.left) != ast.dump(lower):
            return None
        length = self.evaluate(upper.right)
        return length if length.__class__ is int and length >= 0 else None

    def eval_Starred(self, node: ast.Starred) -> Any:
        return self.evaluate(node.value)

    def eval_Lambda(self, node: ast.Lambda) -> Any:
        return self.make_function(node)

    def eval_NamedExpr(self, node: ast.NamedExpr) -> Any:
        value = self.evaluate(node.value)
        self.bind(node.target, value)
        return value

    # -- operators -------------------------------------------------------------------------------

    def eval_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        return self.binary(node, BINARY[node.op.__class__], left, right)

    def binary(self, node: ast.AST, function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        """`function(a, b)` where that is known, and not too large to compute."""
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            a, b = with_numbers(a), with_numbers(b)
        if self.is_opaque(a) or self.is_opaque(b) or _too_large(function, a, b):
            return _some_number(function, a, b)
        if self.symbols.names and (self.symbols.is_symbolic(a) or self.symbols.is_symbolic(b)):
            return self._sized(node, function, a, b)
        return self.attempt(node, function, a, b)

    def _sized(self, node: ast.AST, function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        """Arithmetic with a symbolic size: its result where that is a size again."""
        if not isinstance(a, int) or not isinstance(b, int):
            return self.attempt(node, function, a, b)
        if function in (operator.add, operator.sub, operator.mul) or a == b:
            return function(a, b)
        if function in (operator.floordiv, operator.mod) and b and a % b == 0:
            return function(a, b)
        return SOME_FLOAT if function is operator.truediv else UNKNOWN

    def eval_UnaryOp(self, node: ast.UnaryOp) -> Any:
        value = self.evaluate(node.operand)
        if isinstance(node.op, ast.Not):
            truth = self.truth(value, node)
            return UNKNOWN if truth is UNKNOWN else not truth
        if self.is_opaque(value):
            return value if isinstance(value, float | int) else UNKNOWN
        return self.unary(node, UNARY[node.op.__class__], value)

    def unary(self, node: ast.AST, function: Callable[[Any], Any], value: Any) -> Any:
        """`function(value)`."""
        return self.attempt(node, function, value)

    def eval_BoolOp(self, node: ast.BoolOp) -> Any:
        stops_at = isinstance(node.op, ast.Or)
        value: Any = UNKNOWN
        surely = True
        for operand in node.values:
            value = self.evaluate(operand)
            truth = self.truth(value, operand)
            if truth is UNKNOWN:
                surely = False
            elif truth is stops_at:
                return value if surely else (stops_at if isinstance(value, bool) else UNKNOWN)
        return value if surely else UNKNOWN

    def eval_Compare(self, node: ast.Compare) -> Any:
        left = self.evaluate(node.left)
        result: Any = True
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(comparator)
            found = self._compared(node, op, left, right)
            if len(node.ops) == 1:
                return found
            truth = self.truth(found, node)
            if truth is False:
                return False
            result = UNKNOWN if truth is UNKNOWN else result
            left = right
        return result

    def _compared(self, node: ast.Compare, op: ast.cmpop, left: Any, right: Any) -> Any:
        identity = isinstance(op, ast.Is | ast.IsNot)
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if not identity and (self.is_opaque(left) or self.is_opaque(right)):
            if isinstance(op, ast.In | ast.NotIn) and isinstance(right, dict | set | list):
                return self._membership(op, left, right)
            return UNKNOWN
        if isinstance(op, ast.In | ast.NotIn) and isinstance(right, Stream | Tensor):
            return UNKNOWN
        if left != right if isinstance(left, int) and isinstance(right, int) else False:
            if self.symbols.any_in((left, right)):
                return UNKNOWN
        elif isinstance(left, tuple) and self.symbols.any_in((left, right)):
            return UNKNOWN
        return self.binary(node, COMPARISONS[op.__class__], left, right)

    def _membership(self, op: ast.cmpop, left: Any, right: Any) -> Any:
        """Membership in a container known in part: certain only for an item that is there."""
        try:
            inside = left in right if isinstance(right, dict | set) else None
        except TypeError:
            return UNKNOWN
        if inside is None or (not inside and id(right) in self.open):
            return UNKNOWN
        return inside is isinstance(op, ast.In)

    def eval_IfExp(self, node: ast.IfExp) -> Any:
        truth = self.truth(self.evaluate(node.test), node.test)
        if truth is UNKNOWN:
            return self.either(lambda: self.evaluate(node.body), lambda: self.evaluate(node.orelse))
        return self.evaluate(node.body if truth else node.orelse)

    # -- parts of objects ------------------------------------------------------------------------

    def eval_Attribute(self, node: ast.Attribute) -> Any:
        owner = self.evaluate(node.value)
        return self.attribute(owner, node.attr, node)

    def eval_Subscript(self, node: ast.Subscript) -> Any:
        owner = self.evaluate(node.value)
        before, self.slices_numbers = self.slices_numbers, isinstance(owner, self.array_types)
        index = self.evaluate(node.slice)
        self.slices_numbers = before
        return self.item(owner, index, node)

    def item(self, owner: Any, index: Any, node: ast.AST) -> Any:
        """`owner[index]`."""
        if owner is UNKNOWN or owner.__class__ is Stream:
            return UNKNOWN
        if isinstance(owner, Tensor):
            owner, index = self._selected(owner, index)
        if isinstance(owner, dict) and not self.is_opaque(index):
            if id(owner) in self.open and not self.quietly(owner.__contains__, index):
                return UNKNOWN
            return self._entry(owner, index, node)
        if isinstance(owner, list | tuple):
            if index is UNKNOWN or index is SOME_INT:
                return self.one_of(owner)
            if id(owner) in self.open:
                return self._open_item(owner, index)
            if self.is_opaque(index):
                return UNKNOWN
        elif self.is_opaque(index) or self.is_opaque(owner) or id(owner) in self.open:
            return UNKNOWN
        return self.attempt(node, operator.getitem, owner, index)

    def _selected(self, owner: Tensor, index: Any) -> tuple[Any, Any]:
        """Tensor and index as shape rules can take them: a mask selects a number of rows that is
        not known, and a slice may end at a size that is not known."""
        parts = list(index) if isinstance(index, tuple) else [index]
        shape, dim = list(owner.shape), 0
        for k, part in enumerate(parts):
            if part is Ellipsis:
                break
            if isinstance(part, Tensor) and part.dtype is flambeau.bool and part.ndim == 1:
                fits = dim < len(shape) and part.shape[0] == shape[dim]
                if fits:
                    size = self.masked.setdefault(id(part), (part, self.symbols.fresh("?")))[1]
                    shape[dim], parts[k] = size, slice(None)
            elif isinstance(part, slice) and dim < len(shape) and part.start in (None, 0):
                known = not self.symbols.is_symbolic(shape[dim])
                if known and self.symbols.is_symbolic(part.stop):
                    shape[dim] = part.stop
            elif part is SOME_INT:
                parts[k] = 0  # as good as any
            elif isinstance(part, list) and not self.is_opaque(_some(part)):
                parts[k] = _some(part)
            dim += part is not None
        if shape != list(owner.shape):
            edge = owner.sum() if owner.is_floating_point() else None
            owner = flambeau.empty(tuple(shape), dtype=owner.dtype, device=owner.device)
            if edge is not None and edge.requires_grad:
                owner = owner + edge
        return owner, tuple(parts) if isinstance(index, tuple) else parts[0]

    def _entry(self, owner: dict[Any, Any], key: Any, node: ast.AST) -> Any:
        """`owner[key]` of a dict that is known in full."""
        missing = isinstance(key, str) and key not in owner and type(owner) is dict
        if missing and owner and not self.guarded and self.is_certain():
            names = [k for k in owner if isinstance(k, str)]
            meant = closest(key, names)
            hint = f"Did you mean {meant!r}?" if meant else f"It has {', '.join(names[:8])}."
            self.fail(node, KeyError(f"the dict has no key {key!r}. {hint}"), "name")
        return self.attempt(node, operator.getitem, owner, key)

    def _open_item(self, owner: Any, index: Any) -> Any:
        if isinstance(index, slice):
            return self.mark_open(list(owner))
        return self.one_of(owner)

    def one_of(self, items: Any) -> Any:
        """What is known of some item of a sequence."""
        found: Any = MISSING
        for item in items:
            found = self.joined_values(found, item)
            if found is UNKNOWN:
                break
        return UNKNOWN if found is MISSING else found

    # -- comprehensions --------------------------------------------------------------------------

    def eval_ListComp(self, node: ast.ListComp) -> Any:
        items, exact = self._comprehend(node.generators, lambda: self.evaluate(node.elt))
        return items if exact else self.mark_open(items)

    def eval_GeneratorExp(self, node: ast.GeneratorExp) -> Any:
        return Stream(*self._comprehend(node.generators, lambda: self.evaluate(node.elt)))

    def eval_SetComp(self, node: ast.SetComp) -> Any:
        items, exact = self._comprehend(node.generators, lambda: self.evaluate(node.elt))
        known = [item for item in items if not self.is_opaque(item)]
        found = self.quietly(set, known)
        return found if exact and len(known) == len(items) else self.mark_open(found)

    def eval_DictComp(self, node: ast.DictComp) -> Any:
        pairs, exact = self._comprehend(
            node.generators, lambda: (self.evaluate(node.key), self.evaluate(node.value))
        )
        known = [pair for pair in pairs if not self.is_opaque(pair[0])]
        found = self.quietly(dict, known)
        return found if exact and len(known) == len(pairs) else self.mark_open(found)

    def _comprehend(
        self, generators: list[ast.comprehension], element: Callable[[], Any]
    ) -> tuple[list[Any], bool]:
        found: list[Any] = []
        with self.inner_scope():
            exact = self._fill(generators, element, found)
        return found, exact

    def _fill(
        self, generators: list[ast.comprehension], element: Callable[[], Any], found: list[Any]
    ) -> bool:
        """Append what the comprehension gives to `found`; whether that is all of it, for sure."""
        if not generators:
            found.append(element())
            return True
        first, rest = generators[0], generators[1:]
        items, exact = self.items_of(self.evaluate(first.iter), first.iter)
        for count, item in enumerate(items):
            if len(found) > MOST_ITEMS or (count >= 2 and self.is_late()):
                return False
            self.bind(first.target, item)
            truths = [self.truth(self.evaluate(test), test) for test in first.ifs]
            if False in truths:
                continue
            if UNKNOWN in truths:
                self._perhaps_fill(rest, element, found)
                exact = False
            else:
                exact &= self._fill(rest, element, found)
        return exact

    def _perhaps_fill(
        self, generators: list[ast.comprehension], element: Callable[[], Any], found: list[Any]
    ) -> None:
        """Append what the comprehension gives for an item that may be filtered out."""
        self.guarded += 1
        try:
            self._fill(generators, element, found)
        except UserError:
            found.append(UNKNOWN)
        finally:
            self.guarded -= 1

    # -- others ----------------------------------------------------------------------------------

    def eval_Await(self, node: ast.Await) -> Any:
        return self.evaluate(node.value)

    def eval_Yield(self, node: ast.Yield) -> Any:
        value = None if node.value is None else self.evaluate(node.value)
        self.yielded(value)
        return UNKNOWN

    def eval_YieldFrom(self, node: ast.YieldFrom) -> Any:
        items, _ = self.items_of(self.evaluate(node.value), node)
        for item in items:
            self.yielded(item)
        return UNKNOWN


def _some(indices: list[Any]) -> list[Any]:
    """Indices with 0 in the place of those that are not known."""
    return [0 if index is SOME_INT else index for index in indices]


def _some_number(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """What arithmetic with numbers of unknown value gives: such a number again."""
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return UNKNOWN
    if function in COMPARISONS.values():
        return UNKNOWN
    whole = isinstance(a, int) and isinstance(b, int) and function is not operator.truediv
    return SOME_INT if whole else SOME_FLOAT


def _too_large(function: Callable[[Any, Any], Any], a: Any, b: Any) -> bool:
    """Whether computing this would take long: huge powers and repeated sequences."""
    if function is operator.pow or function is operator.lshift:
        return isinstance(b, int) and isinstance(a, int) and abs(b) * a.bit_length() > LARGEST_POWER
    if function is operator.mul:
        for sequence, count in ((a, b), (b, a)):
            if isinstance(sequence, list | tuple | str | bytes) and isinstance(count, int):
                return len(sequence) * count > MOST_ITEMS
    return False
