"""Results from inside of a model: of its direct parts in turn, or of any node of its graph."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from ... import fx, nn
from ...core.tensor import Tensor

__all__ = ["IntermediateLayerGetter", "create_feature_extractor", "get_graph_node_names"]


class IntermediateLayerGetter(nn.ModuleDict):
    """The direct parts of `model` in turn, up to the last one of `return_layers`: names of parts,
    and what their results are called in the dict that comes back. Raises: ValueError for a name
    that no part has."""

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        names = [name for name, _ in model.named_children()]
        missing = [name for name in return_layers if name not in names]
        if missing:
            raise ValueError(
                f"IntermediateLayerGetter: expected parts of {type(model).__name__}, "
                f"{', '.join(names)}. Got {', '.join(missing)}."
            )
        last = max(names.index(name) for name in return_layers)
        super().__init__(OrderedDict(list(model.named_children())[: last + 1]))
        self.return_layers = dict(return_layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The results by their new names, in the order of the parts."""
        found = OrderedDict()
        for name, part in self.items():
            x = part(x)
            if name in self.return_layers:
                found[self.return_layers[name]] = x
        return found


class _Tracer(fx.Tracer):
    """Keeps for each node the path of the module whose call it is or stands in."""

    def __init__(self, leaves: Sequence[type], **options: Any) -> None:
        super().__init__(**options)
        self.leaves, self.paths, self.inside = tuple(leaves), {}, [""]
        self.counts: dict[str, int] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Those asked for too."""
        return isinstance(m, self.leaves) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """With the path of `m` noted."""
        self.inside.append(self.path_of_module(m))
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.inside.pop()

    def create_node(self, kind: str, target: Any, *rest: Any, **options: Any) -> Any:
        """A node with its name: the path of its module, or of its function in its module; a number
        behind it from the second on."""
        node = super().create_node(kind, target, *rest, **options)
        if kind == "call_module":
            path = str(target)
        else:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            name = node.name if kind in ("placeholder", "output") else name.strip("_")
            path = f"{self.inside[-1]}.{name}".lstrip(".")
        seen = self.counts.get(path, 0)
        self.counts[path] = seen + 1
        self.paths[node] = f"{path}_{seen}" if seen else path
        return node


def _traced(model: nn.Module, options: Mapping[str, Any] | None) -> _Tracer:
    given = dict(options or {})
    tracer = _Tracer(given.pop("leaf_modules", ()), **given)
    tracer.trace(model)
    return tracer


def get_graph_node_names(
    model: nn.Module, tracer_kwargs: Mapping[str, Any] | None = None, **ignored: Any
) -> tuple[list[str], list[str]]:
    """The names of the nodes of the model's graph, in training and in evaluation: paths of modules,
    and of functions within them (`layer1.0.add`). Such a name, or the path of a module, which means
    its last node, is what `create_feature_extractor` takes.

    `tracer_kwargs`: `leaf_modules`, types of modules that are one node.
    """
    found = []
    for training in (True, False):
        with _Mode(model, training):
            found.append(list(_traced(model, tracer_kwargs).paths.values()))
    return found[0], found[1]


class _Mode:
    """The model in training or not within a block; afterwards every part as it was."""

    def __init__(self, model: nn.Module, training: bool) -> None:
        self.before = {part: part.training for part in model.modules()}
        self.model, self.training = model, training

    def __enter__(self) -> None:
        self.model.train(self.training)

    def __exit__(self, *error: object) -> None:
        for part, training in self.before.items():
            part.training = training


class _Extractor(nn.Module):
    """Two graphs over the same parts, of which the mode chooses."""

    def __init__(self, graphs: dict[bool, fx.GraphModule]) -> None:
        super().__init__()
        for name, part in [*graphs[True].named_children(), *graphs[False].named_children()]:
            self.add_module(name, part)
        for name, value in graphs[False].named_parameters(recurse=False):
            self.register_parameter(name, value)
        self._graphs = graphs

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The results by their names."""
        return self._graphs[self.training].forward(*args, **kwargs)


def create_feature_extractor(
    model: nn.Module,
    return_nodes: Mapping[str, str] | Sequence[str] | None = None,
    train_return_nodes: Mapping[str, str] | Sequence[str] | None = None,
    eval_return_nodes: Mapping[str, str] | Sequence[str] | None = None,
    tracer_kwargs: Mapping[str, Any] | None = None,
    **ignored: Any,
) -> nn.Module:
    """A module that gives a dict of results from inside of `model`, by tracing it; it shares the
    model's parameters and leaves out what they do not need.

    `return_nodes`: names as `get_graph_node_names` lists them, or paths of modules, and what the
    results are called ({"layer1": "fine"}), or the names alone; other ones in training and in
    evaluation by the two options after it. Raises: ValueError for a name that no node has.
    """
    wanted = {True: train_return_nodes or return_nodes, False: eval_return_nodes or return_nodes}
    graphs = {}
    for training, names in wanted.items():
        if names is None:
            raise ValueError("create_feature_extractor: expected return_nodes. Got None.")
        named = {name: name for name in names} if not isinstance(names, Mapping) else dict(names)
        with _Mode(model, training):
            graphs[training] = _cut(model, _traced(model, tracer_kwargs), named)
    return _Extractor(graphs).train(model.training)


def _cut(model: nn.Module, tracer: _Tracer, named: dict[str, str]) -> fx.GraphModule:
    """The graph that ends in the nodes that are wanted."""
    results = {}
    for name, key in named.items():
        inside = [node for node, path in tracer.paths.items()
                  if path == name or path.startswith(f"{name}.")]  # fmt: skip
        exact = [node for node in inside if tracer.paths[node] == name]
        if not inside:
            from difflib import get_close_matches

            near = get_close_matches(name, tracer.paths.values(), 3)
            raise ValueError(
                f"create_feature_extractor: expected nodes of the model. Got {name!r}"
                + (f"; did you mean {' or '.join(near)}?" if near else ".")
                + " get_graph_node_names(model) names them all."
            )
        results[key] = (exact or inside)[-1]
    graph = tracer.graph
    for node in reversed(list(graph.nodes)):
        if node.op == "output":
            graph.erase_node(node)
    graph.output(results)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    return fx.GraphModule(copy.copy(tracer.root), graph)
