"""How each call of a graph is quantized."""

from __future__ import annotations

import enum
from typing import Any

from ....core import dtypes
from ....fx import GraphModule, Node
from ....nn import modules as nn
from ..calibration import ObserverBase, PlaceholderObserver
from ..fake_quantize import FakeQuantizeBase
from ..mappings import DYNAMIC, STATIC, TRAINED
from .fusion import RELUS, function_name

ARITHMETIC = {
    "add": "add", "iadd": "add", "add_": "add", "mul": "mul", "imul": "mul", "mul_": "mul",
    "cat": "cat", "matmul": "matmul",
}  # fmt: skip
"""Functions and methods whose results need a scale of their own: by `ops.quantized_arithmetic`."""
KNOWN_RANGE = ("sigmoid", "sigmoid_", "tanh", "tanh_", "hardsigmoid")
KNOWN_RANGE_LAYERS = (nn.Tanh, nn.Hardsigmoid)
"""Functions on codes whose results have a known scale, and layers of them."""
SHARING = frozenset(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d
    max_pool1d max_pool2d max_pool3d flatten reshape view permute transpose movedim swapaxes
    squeeze unsqueeze contiguous relu relu_ relu6 hardtanh hardtanh_ clamp mean dropout interpolate
    pixel_shuffle pixel_unshuffle channel_shuffle chunk split unbind narrow select expand detach
    clone flip roll pad getitem
    """.split()
)
"""Functions and methods whose results have the scale of what they are made of."""
SHARING_LAYERS = (
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AvgPool1d, nn.AvgPool2d,
    nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.Flatten, nn.Unflatten, nn.ReLU,
    nn.ReLU6, nn.Hardtanh, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity,
    nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.Upsample, nn.UpsamplingNearest2d,
    nn.UpsamplingBilinear2d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad2d,
    nn.ZeroPad2d, nn.ConstantPad2d,
)  # fmt: skip
TABLES = (nn.Embedding, nn.EmbeddingBag)


class Kind(enum.Enum):
    """Layers that `convert` has a class for, layers of numbers with quantized weights, sums and
    products, functions with a known range, and what passes its input's scale on."""

    LAYER = enum.auto()
    WEIGHTS = enum.auto()
    ARITHMETIC = enum.auto()
    KNOWN_RANGE = enum.auto()
    SHARING = enum.auto()


def kind_of(model: GraphModule, node: Node) -> Kind | None:
    """How `node` is quantized by the settings in its `meta`; None for what stays in numbers."""
    qconfig = node.meta.get("qconfig")
    if qconfig is None:
        return None
    if node.op == "call_module":
        return _kind_of_layer(model, node, qconfig)
    name = function_name(node)
    is_own = isinstance(node.target, str) or getattr(
        node.target, "__module__", ""
    ).startswith(("flambeau", "_operator"))  # fmt: skip
    if not name or not is_own or not _is_static(qconfig):
        return None
    if name in ARITHMETIC:
        return Kind.ARITHMETIC if set(node.kwargs) <= {"dim"} else None
    if name in KNOWN_RANGE:
        return Kind.KNOWN_RANGE
    return Kind.SHARING if name in SHARING else None


def _kind_of_layer(model: GraphModule, node: Node, qconfig: Any) -> Kind | None:
    layer: Any = type(model.get_submodule(str(node.target)))
    is_called_again = len(model.graph.find_nodes(op=node.op, target=node.target)) > 1
    if issubclass(layer, TABLES):
        has_codes = getattr(qconfig.weight(), "dtype", None) is dtypes.quint8
        return Kind.WEIGHTS if has_codes and not is_called_again else None
    if not _is_static(qconfig):
        is_dynamic = getattr(qconfig.activation(), "is_dynamic", False) and layer in DYNAMIC
        return Kind.WEIGHTS if is_dynamic and not is_called_again else None
    if issubclass(layer, SHARING_LAYERS):
        return Kind.SHARING
    if issubclass(layer, KNOWN_RANGE_LAYERS):
        return Kind.KNOWN_RANGE
    # Its results would need a scale for each call.
    is_known = layer in STATIC or layer in TRAINED
    return Kind.LAYER if is_known and not is_called_again else None


def _is_static(qconfig: Any) -> bool:
    """Whether the settings give activations a scale once and for all."""
    made = qconfig.activation()
    if isinstance(made, PlaceholderObserver) or getattr(made, "is_dynamic", False):
        return False
    return isinstance(made, ObserverBase | FakeQuantizeBase)


def is_calibration(model: GraphModule, node: Node) -> bool:
    """Whether a node is a calibration module's call."""
    kinds = ObserverBase | FakeQuantizeBase
    return node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), kinds)


def inputs_of(node: Node, kind: Kind) -> list[Node]:
    """The nodes whose numbers the call computes with."""
    if kind is Kind.ARITHMETIC:
        return node.all_input_nodes
    first = node.args[0] if node.args else next(iter(node.kwargs.values()), None)
    return [first] if isinstance(first, Node) else []


def relu_of(model: GraphModule, node: Node) -> Node | None:
    """The ReLU that a sum or product is joined with: the one that alone reads it."""
    if ARITHMETIC[function_name(node)] not in ("add", "mul") or len(node.users) != 1:
        return None
    (reader,) = node.users
    if reader.op == "call_module":
        is_relu = type(model.get_submodule(str(reader.target))) is nn.ReLU
    else:
        is_relu = function_name(reader) in RELUS
    return reader if is_relu else None
