"""Checkpoints that all processes write and read together, each its part of the tensors. They can be
read by another number of processes than wrote them, or by one."""

from .filesystem import FileSystemReader, FileSystemWriter
from .saving import load, save
from .state_dict import StateDictOptions, get_state_dict, set_state_dict

__all__ = [
    "FileSystemReader", "FileSystemWriter", "StateDictOptions", "get_state_dict", "load", "save",
    "set_state_dict",
]  # fmt: skip
