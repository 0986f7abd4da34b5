"""A module whose gradients the processes of a group average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ...autograd.grad_mode import is_grad_enabled, no_grad
from ...core.devices import device as Device
from ...core.tensor import Tensor
from ...ops.joins import cat
from ..modules.module import Module

BUCKET_CAP = 25
"""MiB of a bucket, PyTorch's: large enough for the rate of a network, small enough to overlap."""


class DistributedDataParallel(Module):
    """`module`, trained by all processes of a group together: each runs it on its own part of the
    data, and each gradient becomes the average over all, so that parameters stay the same.

    At the start parameters and buffers become those of process 0. Gradients go out in buckets of
    `bucket_cap_mb` MiB while the backward pass goes on. Before each forward pass that will be
    trained, buffers become those of process 0 (`broadcast_buffers`).

    `find_unused_parameters`: parameters that a process did not use count as a gradient of 0; where
    none used it, the gradient stays. `static_graph`: they are always the same.
    `gradient_as_bucket_view`: gradients are views of the buckets for good, which saves memory.
    `device_ids` may name the one GPU of this process. Keys of the state dict stand below "module.".

    Raises: ValueError without `init_process_group`, RuntimeError for a module without a parameter
    that is trained, or whose parameters differ among the processes in number, shape or dtype.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None,
        device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
    ) -> None:
        from ...distributed.group import world  # which not every program with modules needs
        from ...distributed.reducer import Reducer

        super().__init__()
        if device_mesh is not None:
            process_group = device_mesh.get_group()
        self.process_group = world(process_group)
        self.module = module
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = True
        self.require_forward_param_sync = True
        self._ignored = set(getattr(module, IGNORED, ()))
        self._joining: Any = None  # within `join`
        names, parameters = self._trained()
        self.device = parameters[0].device
        if init_sync:
            self._require_same_parameters()
            states = module.state_dict(keep_vars=True)
            self._broadcast([t for name, t in states.items() if name not in self._ignored])
        cap = int((bucket_cap_mb or BUCKET_CAP) * (1 << 20))
        flags = find_unused_parameters, static_graph, gradient_as_bucket_view
        self.__dict__["reducer"] = Reducer(parameters, names, self.process_group, cap, *flags)

    def _trained(self) -> tuple[list[str], list[Tensor]]:
        """Names and parameters whose gradients are averaged. Raises: RuntimeError for none."""
        named = [
            (name, p)
            for name, p in self.module.named_parameters()
            if p.requires_grad and name not in self._ignored
        ]
        if not named:
            raise RuntimeError(
                "DistributedDataParallel: expected a module with a parameter that requires a "
                "gradient. Other modules need no averaging: use them as they are."
            )
        return [name for name, _ in named], [p for _, p in named]

    # -- state that all processes share ----------------------------------------------------------

    def _require_same_parameters(self) -> None:
        from ...distributed.objects import all_gather_object

        own = [
            (name, tuple(p.shape), p.dtype.name, p.requires_grad)
            for name, p in self.module.named_parameters()
        ]
        everyone: list[Any] = [None] * self.process_group.size()
        all_gather_object(everyone, own, self.process_group)
        for rank, theirs in enumerate(everyone):
            if theirs == everyone[0]:
                continue
            pairs = zip([*everyone[0], None], [*theirs, None], strict=False)
            here, there = next((a, b) for a, b in pairs if a != b)
            raise RuntimeError(
                "DistributedDataParallel: expected the same parameters in all processes. Got "
                f"{_parameter_words(here)} at rank 0 and {_parameter_words(there)} at rank {rank}."
            )

    @no_grad()
    def _broadcast(self, tensors: Iterable[Tensor], src: int = 0) -> None:
        """Give `tensors` the values that they have in process `src` of the group, in one message
        for each dtype and device."""
        from ...distributed.collectives import broadcast

        if self.process_group.size() == 1:
            return
        kinds: dict[Any, list[Tensor]] = {}
        for t in tensors:
            if isinstance(t, Tensor) and t.numel():
                kinds.setdefault((t.dtype, t.device), []).append(t.detach())
        for several in kinds.values():
            flat = cat([t.reshape(-1) for t in several])
            broadcast(flat, group=self.process_group, group_src=src)
            if self.process_group.rank() != src:
                for t, part in zip(several, flat.split([t.numel() for t in several]), strict=True):
                    t.copy_(part.view(t.shape))

    def _buffers_to_share(self) -> list[Tensor]:
        return [b for name, b in self.module.named_buffers() if name not in self._ignored]

    # -- forward and backward --------------------------------------------------------------------

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module computes. Raises: RuntimeError if the last backward pass did not reach
        all parameters."""
        trains = is_grad_enabled() and self.require_backward_grad_sync
        if trains:
            self.reducer.prepare()
        source = self._joining.begin_pass() if trains and self._joining is not None else 0
        if self.require_forward_param_sync and self.broadcast_buffers:
            self._broadcast(self._buffers_to_share(), source)
        self.require_forward_param_sync = trains
        if self.device_ids and self.device.type == "cuda":
            inputs, kwargs = self._moved(inputs), self._moved(kwargs)
        return self.module(*inputs, **kwargs)

    def _moved(self, value: Any) -> Any:
        """Tensors inside of `value` on this process's GPU."""
        if isinstance(value, Tensor):
            return value.to(Device(self.device))
        if isinstance(value, dict):
            return type(value)((k, self._moved(v)) for k, v in value.items())
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self._moved, value))
        if isinstance(value, list | tuple):
            return type(value)(map(self._moved, value))
        return value

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients of forward passes within the block are added up here, and averaged by the first
        backward pass after it."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextmanager
    def join(
        self,
        divide_by_initial_world_size: bool = True,
        enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Iterator[None]:
        """Train within the block on inputs of different numbers: a process that leaves it early
        stands in with gradients of 0 until all are done, and then has the parameters of those that
        went on. Averages are over all processes, or with `divide_by_initial_world_size=False` over
        those that still have inputs.

        Raises: RuntimeError everywhere if one has none left, with `throw_on_early_termination`.
        """
        if not enable or self.process_group.size() == 1:
            yield
            return
        from ...distributed.join import Joining

        self._joining = Joining(self, divide_by_initial_world_size, throw_on_early_termination)
        try:
            yield
            self._joining.stand_in()
        finally:
            self._joining = None

    def register_comm_hook(self, state: Any, hook: Any) -> None:
        """Let `hook(state, bucket)` bring each bucket of gradients together, in place of the
        average: it returns a Future of the flat result. See
        `distributed.algorithms.ddp_comm_hooks`.

        Raises: TypeError for what cannot be called, RuntimeError for a second hook.
        """
        if not callable(hook):
            raise TypeError(f"register_comm_hook: expected a function. Got {type(hook).__name__}.")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook: expected one hook. There is one already.")
        self.reducer.hook = state, hook

    @staticmethod
    def _set_params_and_buffers_to_ignore_for_model(module: Module, names: Iterable[str]) -> None:
        """Leave parameters and buffers of these names alone; to be called before the module is
        wrapped."""
        setattr(module, IGNORED, list(names))

    def __getstate__(self) -> Any:
        raise TypeError(
            "DistributedDataParallel: expected no copy of it, which would belong to no group. Copy "
            "or save its .module, or its state_dict()."
        )


IGNORED = "_ddp_params_and_buffers_to_ignore"


def _parameter_words(facts: Any) -> str:
    if facts is None:
        return "none any more"
    name, shape, dtype, requires_grad = facts
    return f"{name} {dtype} {shape}{'' if requires_grad else ' without gradient'}"
