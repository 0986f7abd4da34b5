"""Quantization of models: PyTorch's `torch.ao.quantization`, layer by layer.

fuse_modules, prepare, run inputs, convert      for activations and weights of 8 bits
prepare_qat, train, convert                     the same after training with rounded values
quantize_dynamic                                weights of 8 bits, inputs as they come
quantize_fx.prepare_fx, run inputs, convert_fx  by tracing, without stubs and lists of layers
quantize_(model, Int8WeightOnlyConfig())        weights alone
"""

from __future__ import annotations

from . import fake_quantize as fake_quantize
from . import fx as fx
from . import observer as observer
from . import qconfig as qconfig
from . import quantize_fx as quantize_fx
from . import stubs as stubs
from .conversion import *
from .fake_quantize import *
from .fusion import *
from .mappings import (
    get_default_dynamic_quant_module_mappings as get_default_dynamic_quant_module_mappings,
)
from .mappings import get_default_qat_module_mappings as get_default_qat_module_mappings
from .mappings import (
    get_default_static_quant_module_mappings as get_default_static_quant_module_mappings,
)
from .observer import *
from .qconfig import *
from .qconfig_mapping import *
from .stubs import *
from .weight_configs import *
