"""Nested tuples, lists, dicts and named tuples as flat lists and back."""

from __future__ import annotations

from collections import ChainMap, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "TreeSpec", "register_pytree_node", "tree_flatten", "tree_leaves", "tree_map", "tree_map_only",
    "tree_unflatten",
]  # fmt: skip

Flatten = Callable[[Any], tuple[Any, Any]]
Unflatten = Callable[[Any, Any], Any]


class NodeDef(NamedTuple):
    """How objects of a class are taken apart and put together."""

    flatten_fn: Flatten
    unflatten_fn: Unflatten


_registered: dict[Any, NodeDef] = {}


@dataclass(frozen=True)
class TreeSpec:
    """The shape of a tree: the kind of its root, keys if it is a dict, and its children."""

    type: Any
    context: Any
    children_specs: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        """How many leaves the tree has."""
        if self.type is None:
            return 1
        return sum(child.num_leaves for child in self.children_specs)


LEAF = TreeSpec(None, None, ())
PyTree = Any
Context = Any


def register_pytree_node(
    cls: type, flatten_fn: Flatten, unflatten_fn: Unflatten, **options: Any
) -> None:
    """Let objects of `cls` be trees: `flatten_fn(object)` gives (children, context), and
    `unflatten_fn(children, context)` an object again.

    Raises: ValueError for a class that is registered already.
    """
    if cls in _registered:
        raise ValueError(f"register_pytree_node: {cls.__qualname__} is registered already.")
    _registered[cls] = NodeDef(flatten_fn, unflatten_fn)


def _children(tree: Any) -> tuple[Any, list[Any]] | None:
    own = _registered.get(type(tree))
    if own is not None:
        children, context = own[0](tree)
        return context, list(children)
    if isinstance(tree, dict):
        return tuple(tree), list(tree.values())
    if isinstance(tree, tuple | list):
        return None, list(tree)
    return None


def tree_flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeSpec]:
    """The leaves of `tree` from left to right, and its shape."""
    found = None if is_leaf is not None and is_leaf(tree) else _children(tree)
    if found is None:
        return [tree], LEAF
    context, children = found
    leaves: list[Any] = []
    specs = []
    for child in children:
        below, spec = tree_flatten(child, is_leaf)
        leaves += below
        specs.append(spec)
    if isinstance(tree, defaultdict):
        context = (tree.default_factory, context)
    return leaves, TreeSpec(type(tree), context, tuple(specs))


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The tree of shape `treespec` with the given leaves. Raises: ValueError for another number."""
    values = list(leaves)
    if len(values) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten: expected {treespec.num_leaves} leaves. Got {len(values)}."
        )
    return _built(iter(values), treespec)


def _built(values: Any, spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(values)
    children = [_built(values, child) for child in spec.children_specs]
    if spec.type in _registered:
        return _registered[spec.type][1](children, spec.context)
    if issubclass(spec.type, defaultdict):
        factory, keys = spec.context
        return defaultdict(factory, zip(keys, children, strict=True))
    if issubclass(spec.type, dict):
        made = zip(spec.context, children, strict=True)
        return OrderedDict(made) if issubclass(spec.type, OrderedDict) else dict(made)
    return spec.type(*children) if hasattr(spec.type, "_fields") else spec.type(children)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of `tree` from left to right."""
    return tree_flatten(tree, is_leaf)[0]


def tree_map(function: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """The tree with `function` applied to each leaf (and those of other trees of its shape)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_leaves(r, is_leaf) for r in rests]
    return tree_unflatten([function(*xs) for xs in zip(leaves, *others, strict=True)], spec)


def tree_map_only(kind: Any, function: Callable[[Any], Any], tree: Any) -> Any:
    """`tree_map` of the leaves that are instances of `kind`."""
    return tree_map(lambda x: function(x) if isinstance(x, kind) else x, tree)


# -- what libraries that register classes of their own look up -------------------------------------


class LeafSpec(TreeSpec):
    """The shape of a tree that is a leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, ())


@dataclass(frozen=True)
class MappingKey:
    """The way from a dict to one of its values."""

    key: Any


def _dict_flatten(tree: dict[Any, Any]) -> tuple[list[Any], Any]:
    return list(tree.values()), list(tree)


def _dict_unflatten(values: Any, keys: Any) -> dict[Any, Any]:
    return dict(zip(keys, values, strict=True))


def _dict_flatten_with_keys(tree: dict[Any, Any]) -> tuple[list[tuple[MappingKey, Any]], Any]:
    return [(MappingKey(key), value) for key, value in tree.items()], list(tree)


def _sequence_flatten(tree: Any) -> tuple[list[Any], Any]:
    return list(tree), None


SUPPORTED_NODES: Mapping[Any, NodeDef] = ChainMap(
    _registered,
    {
        dict: NodeDef(_dict_flatten, _dict_unflatten),
        OrderedDict: NodeDef(_dict_flatten, lambda v, c: OrderedDict(zip(c, v, strict=True))),
        list: NodeDef(_sequence_flatten, lambda values, context: list(values)),
        tuple: NodeDef(_sequence_flatten, lambda values, context: tuple(values)),
        namedtuple: NodeDef(lambda t: (list(t), type(t)), lambda values, cls: cls(*values)),
    },
)
"""The classes whose objects are trees."""


def _get_node_type(tree: Any) -> Any:
    """The class as which `tree` is taken apart."""
    return namedtuple if isinstance(tree, tuple) and hasattr(tree, "_fields") else type(tree)
