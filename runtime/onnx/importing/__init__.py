"""ONNX files as modules: `torch.onnx.load`."""

from .loading import load as load
