"""Training with parameters, gradients and optimizer states cut into a part for each process."""

from .fully_shard import FSDPModule, ShardedParameter, fully_shard
from .fully_sharded_data_parallel import (
    BackwardPrefetch,
    CPUOffload,
    FullStateDictConfig,
    FullyShardedDataParallel,
    MixedPrecision,
    ShardingStrategy,
    StateDictType,
)
from .policies import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy

__all__ = [
    "BackwardPrefetch", "CPUOffload", "CPUOffloadPolicy", "FSDPModule", "FullStateDictConfig",
    "FullyShardedDataParallel", "MixedPrecision", "MixedPrecisionPolicy", "OffloadPolicy",
    "ShardedParameter", "ShardingStrategy", "StateDictType", "fully_shard",
]  # fmt: skip
