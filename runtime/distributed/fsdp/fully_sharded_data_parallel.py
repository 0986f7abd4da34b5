"""The older door to sharded training: a module around the model, as DistributedDataParallel is."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...autograd.grad_mode import no_grad
from ...core.tensor import Tensor
from ...nn.modules.module import Module
from ...nn.utils.clip_grad import clip_grad_norm_
from ..checkpoint.state_dict import full_state_dict, load_full_state_dict
from .fully_shard import shard
from .policies import CPUOffloadPolicy, MixedPrecisionPolicy
from .wrap import modules_to_shard

__all__ = [
    "BackwardPrefetch", "CPUOffload", "FullStateDictConfig", "FullyShardedDataParallel",
    "MixedPrecision", "ShardingStrategy", "StateDictType",
]  # fmt: skip


class ShardingStrategy(enum.Enum):
    """What is cut. FULL_SHARD and SHARD_GRAD_OP are one here: see `fully_shard`."""

    FULL_SHARD = enum.auto()
    SHARD_GRAD_OP = enum.auto()
    NO_SHARD = enum.auto()
    HYBRID_SHARD = enum.auto()


class BackwardPrefetch(enum.Enum):
    """When the next parameters are gathered; any is taken, and changes nothing."""

    BACKWARD_PRE = enum.auto()
    BACKWARD_POST = enum.auto()


class StateDictType(enum.Enum):
    """What `state_dict` gives. FULL_STATE_DICT is what is there."""

    FULL_STATE_DICT = enum.auto()
    LOCAL_STATE_DICT = enum.auto()
    SHARDED_STATE_DICT = enum.auto()


@dataclass
class CPUOffload:
    """Whether parts lie in the CPU's memory."""

    offload_params: bool = False


@dataclass
class MixedPrecision:
    """See MixedPrecisionPolicy; `buffer_dtype` is that of buffers."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    buffer_dtype: Any = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True


@dataclass
class FullStateDictConfig:
    """Whether the whole tensors lie in the CPU's memory, and in the first process alone."""

    offload_to_cpu: bool = False
    rank0_only: bool = False


class FullyShardedDataParallel(Module):
    """`module` with its parameters cut over `process_group`, by default all processes, as
    `fully_shard` cuts them: those of the modules that `auto_wrap_policy` names each for itself, the
    others together.

    `device_id` moves the module there first. Options of PyTorch's that only steer its memory and
    its order of work are taken and change nothing. `state_dict` gives whole tensors and
    `load_state_dict` takes them; all processes call them.
    Raises: ValueError for the strategies NO_SHARD and HYBRID_SHARD.
    """

    def __init__(
        self,
        module: Module,
        process_group: Any = None,
        sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None,
        auto_wrap_policy: Callable[..., bool] | None = None,
        backward_prefetch: Any = None,
        mixed_precision: MixedPrecision | None = None,
        ignored_modules: Iterable[Module] | None = None,
        param_init_fn: Any = None,
        device_id: Any = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if sharding_strategy in (ShardingStrategy.NO_SHARD, ShardingStrategy.HYBRID_SHARD):
            raise ValueError(
                "FullyShardedDataParallel: expected FULL_SHARD or SHARD_GRAD_OP. Got "
                f"{sharding_strategy}. DistributedDataParallel cuts nothing."
            )
        if device_id is not None:
            module.to(device_id)
        precision = mixed_precision or MixedPrecision()
        casts = precision.cast_forward_inputs or precision.cast_root_forward_inputs
        policy = MixedPrecisionPolicy(
            precision.param_dtype, precision.reduce_dtype, cast_forward_inputs=casts
        )
        if precision.buffer_dtype is not None:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.data = buffer.data.to(precision.buffer_dtype)
        ignored = {p for m in ignored_modules or () for p in m.parameters()}
        offload = CPUOffloadPolicy() if cpu_offload and cpu_offload.offload_params else None
        for below in (*modules_to_shard(module, auto_wrap_policy), module):
            shard(below, process_group, policy, offload, ignored)
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's."""
        return self.module(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Tensor:
        """Scale the gradients of all processes so that their common norm is at most `max_norm`;
        gives the norm before."""
        return clip_grad_norm_(self.parameters(), max_norm, norm_type)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Whole tensors by the names that the module has without this one."""
        return full_state_dict(self.module)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Keep this process's rows of whole tensors."""
        return load_full_state_dict(self.module, state_dict, strict)

    @staticmethod
    @contextmanager
    def state_dict_type(
        module: Module,
        state_dict_type: StateDictType,
        state_dict_config: Any = None,
        optim_state_dict_config: Any = None,
    ) -> Iterator[None]:
        """A block in which `state_dict` gives FULL_STATE_DICT, which it always does.

        Raises: ValueError for another type: `distributed.checkpoint` saves parts.
        """
        if state_dict_type is not StateDictType.FULL_STATE_DICT:
            raise ValueError(
                f"state_dict_type: expected FULL_STATE_DICT. Got {state_dict_type}. Use "
                "distributed.checkpoint.save, which saves parts."
            )
        yield

    @staticmethod
    @contextmanager
    def summon_full_params(module: Module, **options: Any) -> Iterator[None]:
        """A block in which the parameters are whole, to be read; all processes enter it."""
        units = [m._unit for m in module.modules() if hasattr(m, "_unit")]
        with no_grad():
            for unit in units:
                unit.unshard()
        try:
            yield
        finally:
            for unit in units:
                unit.reshard()
