"""Quantization of traced models: calls are found in a graph, so that models need no stubs and no
lists of layers to join. The functions for it are in `quantize_fx`."""

from . import custom_config as custom_config
