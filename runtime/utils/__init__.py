"""Data pipelines, under PyTorch's name."""

from . import data as data
