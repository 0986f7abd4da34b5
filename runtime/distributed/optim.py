"""Optimizers that share their work among processes."""

from __future__ import annotations

from typing import Any

from ..optim.optimizer import Optimizer
from .group import world


class ZeroRedundancyOptimizer(Optimizer):
    """An `optimizer_class` whose state is spread over the processes of the group; in a world of one
    process it is all here. `defaults` are that class's options.

    Raises: ValueError without `init_process_group`.
    """

    def __init__(
        self,
        params: Any,
        optimizer_class: type[Optimizer],
        process_group: Any = None,
        parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False,
        **defaults: Any,
    ) -> None:
        self.process_group = world(process_group)
        self.optim = optimizer_class(params, **defaults)
        super().__init__(self.optim.param_groups, self.optim.defaults)
        self.optim.param_groups = self.param_groups  # what schedules write to is what it reads
        self.state = self.optim.state

    def step(self, closure: Any = None, **kwargs: Any) -> Any:
        """A step of the optimizer."""
        return self.optim.step(closure, **kwargs)

    def load_state_dict(self, state_dict: Any) -> None:
        """Take the state over."""
        self.optim.load_state_dict(state_dict)
        self.param_groups, self.state = self.optim.param_groups, self.optim.state

    def state_dict(self) -> Any:
        """The state of all processes, as the optimizer's own."""
        return self.optim.state_dict()

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Bring the state together in process `to`; here it is."""
