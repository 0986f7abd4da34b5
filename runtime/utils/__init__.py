"""What stands beside the runtime: data pipelines, activation checkpoints."""

from . import checkpoint as checkpoint
from . import data as data
from . import dlpack as dlpack
