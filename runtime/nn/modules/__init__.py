"""The layers, a family a file."""

from types import ModuleType

from . import (
    activation,
    attention,
    container,
    conv,
    conv_transpose,
    irregular_pooling,
    likelihood,
    loss,
    margin,
    parameter_containers,
    pooling,
    utils,
)
from .activation import *
from .adaptive import *
from .attention import *
from .batchnorm import *
from .container import *
from .conv import *
from .conv_transpose import *
from .distance import *
from .dropout import *
from .flatten import *
from .fold import *
from .instancenorm import *
from .irregular_pooling import *
from .lazy import *
from .likelihood import *
from .linear import *
from .loss import *
from .margin import *
from .module import *
from .normalization import *
from .padding import *
from .parameter_containers import *
from .pixelshuffle import *
from .pooling import *
from .rnn import *
from .sparse import *
from .transformer import *
from .upsampling import *

_PARTS: dict[ModuleType, list[ModuleType]] = {
    activation: [attention],
    container: [parameter_containers],
    conv: [conv_transpose],
    loss: [likelihood, margin],
    pooling: [irregular_pooling],
}
"""Families that are one module in PyTorch and several files here, by that module."""

for _module, _others in _PARTS.items():
    for _other in _others:
        vars(_module).update({_name: getattr(_other, _name) for _name in _other.__all__})
