"""Training of the abstract run: gradients that are not zeroed, losses that reach no parameter,
layers that are not in evaluation mode, losses that are fed what they compute themselves."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flambeau
from flambeau import nn
from flambeau.autograd.grad_mode import is_grad_enabled
from flambeau.core.tensor import Tensor
from flambeau.nn import Module
from flambeau.nn.modules.batchnorm import _BatchNorm
from flambeau.nn.modules.dropout import _DropoutNd
from flambeau.optim import Optimizer

from .calls import Calls
from .frames import Function
from .messages import described
from .values import UNKNOWN

FRESH, USED, ADDED = "fresh", "used", "added"
"""What became of a gradient: computed, used by a step, added to after a step without zeroing."""

VIEWS = (
    "View",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Permute",
    "Slice",
    "Select",
    "Clone",
    "Reshape",
)
EVALUATES = frozenset("argmax topk eq accuracy max accuracy_score correct".split())
LOGIT_LOSSES = {
    "cross_entropy": "CrossEntropyLoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
}
BROADCASTING = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


class Training(Calls):
    """Follows what happens to gradients."""

    def __init__(self, steps: int, seconds: float) -> None:
        super().__init__(steps, seconds)
        self.gradients: dict[int, tuple[Any, str, Any]] = {}  # by parameter: it, state, place
        self.zeroed_in: set[tuple[int, int]] = set()  # parameters, with the loop around
        self.trained = False
        self.lost_backward = False  # whether something unknown may have computed gradients
        self.regions: list[ast.AST] = []  # `with` blocks and functions without gradients

    # -- backward and step -----------------------------------------------------------------------

    def backward(self, loss: Tensor, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        """`loss.backward(...)`."""
        if self.is_opaque(args) or self.is_opaque(kwargs):
            return self.unknown_call([], {}, node)
        leaves = list(_leaves(loss))
        self.native(Tensor.backward.__get__(loss), args, kwargs, node)
        self.trained = True
        self.will_write(self.gradients)
        place = self.place(node)
        for leaf in leaves:
            known = self.gradients.get(id(leaf))
            state = FRESH if known is None or known[1] == FRESH else ADDED
            self.gradients[id(leaf)] = (leaf, state, place)
        return None

    def step(
        self, optimizer: Optimizer, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> Any:
        """`optimizer.step(closure)`."""
        closure = args[0] if args else kwargs.get("closure")
        loss = None if closure is None else self.call(closure, [], {}, node)
        if id(optimizer) in self.tainted or self.is_opaque(optimizer.param_groups):
            return loss
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._check_zeroed(parameters)
        self._check_reached(optimizer, parameters, node)
        self.will_write(self.gradients)
        for parameter in parameters:
            self.used(parameter)
        return loss

    def used(self, parameter: Tensor) -> None:
        """The gradient of `parameter` was used for a step."""
        known = self.gradients.get(id(parameter))
        if known is not None:
            self.gradients[id(parameter)] = (parameter, USED, known[2])
        elif parameter.grad is not None:
            self.gradients[id(parameter)] = (parameter, USED, None)

    def zeroed(self, parameters: Any) -> None:
        """The gradients of `parameters` were zeroed."""
        self.will_write(self.gradients)
        for parameter in parameters:
            self.gradients.pop(id(parameter), None)
            self.zeroed_in.add((id(parameter), self._loop_around()))

    def _loop_around(self) -> int:
        """Which loop runs, the innermost; 0 outside of loops."""
        return id(self.loops[-1]) if self.loops else 0

    def _check_zeroed(self, parameters: list[Any]) -> None:
        for parameter in parameters:
            _, state, place = self.gradients.get(id(parameter), (None, "", None))
            elsewhere = (
                id(parameter),
                self._loop_around(),
            ) in self.zeroed_in  # in an order of its own
            if state == ADDED and place is not None and not elsewhere:
                self.warn(
                    place,
                    "zero-grad",
                    "backward() adds to gradients that an optimizer step has used already: "
                    "zero_grad() is missing between the steps.",
                    "Call optimizer.zero_grad() before backward().",
                )
                return

    def _check_reached(self, optimizer: Optimizer, parameters: list[Any], node: ast.AST) -> None:
        if self.maybe or self.tainted or not parameters or not self.trained:
            return
        if any(p.grad is not None or id(p) in self.gradients for p in parameters):
            return
        if self.lost_backward:
            return
        self.warn(
            node,
            "no-gradient",
            f"{type(optimizer).__name__}.step() changes nothing: no backward pass has reached any "
            f"of its {len(parameters)} parameters.",
            "Give the optimizer the parameters that the loss depends on.",
        )

    def unknown_call(self, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr in ("backward", "step", "fit"):
            self.lost_backward = True
        if any(isinstance(a, Tensor) and a.requires_grad for a in (*args, *kwargs.values())):
            self.lost_backward = True
        return super().unknown_call(args, kwargs, node)

    def set_attribute(self, owner: Any, name: str, value: Any, node: ast.AST) -> None:
        if isinstance(owner, Tensor) and name == "grad":
            self.zeroed([owner])
        if isinstance(owner, Tensor) and name == "data" and owner.requires_grad:
            self._check_zeroed([owner])
            self.will_write(self.gradients)
            self.used(owner)
        super().set_attribute(owner, name, value, node)

    def attribute(self, owner: Any, name: str, node: ast.AST) -> Any:
        value = super().attribute(owner, name, node)
        lost = self.lost_backward or self.tainted
        return UNKNOWN if name == "grad" and value is None and lost else value

    # -- where the graph ends ----------------------------------------------------------------------

    def native(self, function: Any, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        value = super().native(function, args, kwargs, node)
        owner = getattr(function, "__self__", None)
        inputs = [owner, *args, *kwargs.values()]
        if isinstance(function, Module):
            inputs += function._parameters.values()
        self._note_cut(value, inputs, node)
        name = getattr(function, "__name__", "")
        if isinstance(owner, Tensor) and name.endswith("_") and not name.endswith("__"):
            self.note_write(owner, node)
        return value

    def binary(self, node: ast.AST, function: Any, a: Any, b: Any) -> Any:
        value = super().binary(node, function, a, b)
        self._note_cut(value, [a, b], node)
        if value is a and isinstance(a, Tensor):
            self.note_write(a, node)
        return value

    def _note_cut(self, value: Any, inputs: list[Any], node: ast.AST) -> None:
        """Remember where a value lost the way back to what requires gradients."""
        if not isinstance(value, Tensor):
            return
        if value.requires_grad:
            return
        tensors = [t for t in inputs if isinstance(t, Tensor)]
        tensors += [
            t
            for held in inputs
            if isinstance(held, list | tuple)
            for t in held
            if isinstance(t, Tensor)
        ]
        if any(t.requires_grad for t in tensors):
            place = self.regions[-1] if self.regions else self.place(node)
            value.__dict__["_cut"] = place
        else:
            cut = next((c for t in tensors if (c := t.__dict__.get("_cut")) is not None), None)
            if cut is not None:
                value.__dict__["_cut"] = cut

    # -- regions without gradients -----------------------------------------------------------------

    @contextmanager
    def entered(self, manager: Any, node: ast.AST) -> Iterator[Any]:
        before = is_grad_enabled()
        with super().entered(manager, node) as value:
            statement = self.frame.node
            switched_off = before and not is_grad_enabled() and self.frame.in_cell
            if switched_off and statement is not None:
                self.regions.append(statement)
            try:
                yield value
            finally:
                if switched_off and statement is not None:
                    self.regions.pop()

    def activate(
        self,
        record: Function,
        names: dict[str, Any],
        first: Any,
        block: Callable[[Any], None] | None = None,
    ) -> Any:
        alone = not is_grad_enabled() and not self.regions and record.in_cell
        if alone:
            self.regions.append(record.node)
        try:
            return super().activate(record, names, first, block)
        finally:
            if alone:
                self.regions.pop()

    # -- losses ----------------------------------------------------------------------------------

    def before_loss(
        self, name: str, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> None:
        """Look at what a loss is fed."""
        input = args[0] if args else kwargs.get("input")
        target = args[1] if len(args) > 1 else kwargs.get("target")
        if not isinstance(input, Tensor):
            return
        made = _made_by(input)
        if name == "cross_entropy" and made == "Softmax":
            self._warn_twice(node, "softmax", "cross_entropy", "log-softmax")
        elif name == "binary_cross_entropy_with_logits" and made == "Sigmoid":
            self._warn_twice(node, "sigmoid", name, "sigmoid")
        elif name == "binary_cross_entropy" and made == "Addmm":
            self.warn(
                node,
                "logits",
                "binary_cross_entropy takes probabilities. Got the output of a linear layer.",
                "Apply sigmoid first, or use binary_cross_entropy_with_logits.",
            )
        elif name == "nll_loss" and made in ("Addmm", "Softmax"):
            got = "the output of a linear layer" if made == "Addmm" else "softmax"
            self.warn(
                node,
                "logits",
                f"nll_loss takes log-probabilities. Got {got}.",
                "Use log_softmax, or cross_entropy on the logits.",
            )
        elif name in BROADCASTING and isinstance(target, Tensor) and input.shape != target.shape:
            self._warn_broadcast(name, input, target, node)

    def _warn_twice(self, node: ast.AST, made: str, loss: str, inside: str) -> None:
        self.warn(
            node,
            f"double-{made}",
            f"{loss} takes logits and applies {inside} itself. Got the output of {made}.",
            f"Pass the values before {made}.",
        )

    def _warn_broadcast(self, name: str, input: Tensor, target: Tensor, node: ast.AST) -> None:
        shapes = tuple(input.shape), tuple(target.shape)
        common = self.quietly(flambeau.broadcast_shapes, *shapes)
        if common is UNKNOWN or 1 in (input.numel(), target.numel()):
            return
        self.warn(
            node,
            "shape",
            f"{name}: expected input and target of one shape. Got {described(input)} and "
            f"{described(target)}, which are broadcast to {tuple(common)}.",
            "Reshape one, for example with view_as() or squeeze().",
        )

    def before_module(
        self, module: Module, args: list[Any], kwargs: dict[str, Any], node: ast.AST
    ) -> None:
        name = LOSSES.get(type(module))
        if name is not None:
            self.before_loss(name, args, kwargs, node)
        if isinstance(module, _DropoutNd | _BatchNorm) and module.training:
            self._check_mode(module, node)

    # -- evaluation ------------------------------------------------------------------------------

    def _check_mode(self, module: Module, node: ast.AST) -> None:
        """A layer that behaves otherwise in training is called without gradients."""
        if is_grad_enabled() or not self.regions or self.tainted:
            return
        if not (self.trained or self.live_gradients):
            return
        if isinstance(module, _DropoutNd) and module.p == 0:
            return
        region = self.regions[-1]
        if not _evaluates(region) or self._goes_on_training(region):
            return
        kind = type(module).__name__
        self.warn(
            self._line_in(region),
            "eval-mode",
            f"The model is evaluated in training mode: its {kind} layers behave as in training.",
            "Call model.eval() before, and model.train() after.",
        )

    def _line_in(self, region: ast.AST) -> ast.AST | None:
        """The innermost running statement of the cell within `region`."""
        for frame in reversed(self.frames):
            node: Any = frame.node
            if frame.in_cell and node is not None and _within(node, region):
                return frame.node
        return None

    def _goes_on_training(self, region: Any) -> bool:
        """Whether a backward pass follows in the loop that `region` stands in, or train() precedes
        it: then the mode is meant."""
        around: Any = next((loop for loop in reversed(self.loops) if _within(region, loop)), None)
        if around is None:
            return False
        end = region.end_lineno
        for each in ast.walk(around):
            if isinstance(each, ast.Attribute) and each.attr == "backward" and each.lineno > end:
                return True
        return False

    # -- writes in place -------------------------------------------------------------------------

    def note_write(self, tensor: Any, node: ast.AST) -> None:
        """`tensor` was changed in place at `node`."""
        place = self.place(node)
        if isinstance(tensor, Tensor) and place is not None:
            self.writes.append((tensor, place))
            if tensor.is_leaf and tensor.requires_grad and not is_grad_enabled():
                self._check_zeroed([tensor])
                self.will_write(self.gradients)
                self.used(tensor)


def _leaves(loss: Tensor) -> Iterator[Tensor]:
    """The leaves that a backward pass from `loss` reaches."""
    if loss.grad_fn is None:
        if loss.requires_grad:
            yield loss
        return
    seen, pending = set(), [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            yield variable
        pending.extend(following for following, _ in node.next_functions)


def _made_by(tensor: Tensor) -> str:
    """The operation that made `tensor`, views of its result aside: `Softmax`, `Addmm`."""
    node: Any = tensor.grad_fn
    for _ in range(4):
        if node is None:
            return ""
        name = node.name().removesuffix("Backward0")
        if name not in VIEWS:
            return str(name)
        node = node.next_functions[0][0]
    return ""


def _within(inner: Any, outer: Any) -> bool:
    return bool(outer.lineno <= inner.lineno and (inner.end_lineno or 0) <= (outer.end_lineno or 0))


def _evaluates(region: ast.AST) -> bool:
    """Whether the code compares predictions, as evaluation does."""
    return any(
        (isinstance(each, ast.Attribute) and each.attr in EVALUATES)
        or (isinstance(each, ast.Compare) and isinstance(each.ops[0], ast.Eq))
        for each in ast.walk(region)
    )


LOSSES: dict[type, str] = {
    nn.CrossEntropyLoss: "cross_entropy",
    nn.BCEWithLogitsLoss: "binary_cross_entropy_with_logits",
    nn.BCELoss: "binary_cross_entropy",
    nn.NLLLoss: "nll_loss",
    nn.MSELoss: "mse_loss",
    nn.L1Loss: "l1_loss",
    nn.SmoothL1Loss: "smooth_l1_loss",
    nn.HuberLoss: "huber_loss",
}
