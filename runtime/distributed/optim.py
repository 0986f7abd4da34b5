"""Optimizers that share their work among processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..autograd.grad_mode import no_grad
from ..core.creation import empty
from ..core.tensor import Tensor
from ..ops.joins import cat
from ..optim.optimizer import Optimizer
from .collectives import broadcast
from .group import world
from .objects import gather_object


class ZeroRedundancyOptimizer(Optimizer):
    """An `optimizer_class` whose state is spread over the processes of the group: each keeps that
    of its share of the parameters, updates those, and sends them to all. `defaults` are the class's
    options. Gradients must be the same everywhere, as DistributedDataParallel leaves them.

    `parameters_as_bucket_view` and `overlap_with_ddp` are PyTorch's; the first has no effect.
    Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.1.
    Raises: ValueError without `init_process_group`, NotImplementedError for `overlap_with_ddp`.
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
        if overlap_with_ddp:
            raise NotImplementedError(
                "ZeroRedundancyOptimizer: expected overlap_with_ddp=False. Steps within the "
                "backward pass are not done here: call step() after it."
            )
        self.optimizer_class, self._options = optimizer_class, defaults
        self._everything: dict[str, Any] | None = None
        self.optim: Optimizer | None = None
        super().__init__(params, defaults)
        self._share_out()
        self.state = self.optim.state  # type: ignore[attr-defined]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Share out the parameters of another group too."""
        super().add_param_group(param_group)
        if self.optim is not None:
            before = dict(self.optim.state)
            self._share_out()
            self.optim.state.update({p: s for p, s in before.items() if p in self._own})

    def _share_out(self) -> None:
        """Give each process about as many elements, the large parameters first; where a parameter
        goes depends on its group's sizes alone, so that all processes agree."""
        size = self.process_group.size()
        self._owners: dict[Tensor, int] = {}
        for group in self.param_groups:
            loads = [0] * size
            for p in sorted(group["params"], key=lambda p: -p.numel()):
                owner = loads.index(min(loads))
                self._owners[p] = owner
                loads[owner] += p.numel()
        rank = self.process_group.rank()
        self._own = {p for p, owner in self._owners.items() if owner == rank}
        shares = [
            {**g, "params": [p for p in g["params"] if p in self._own]} for g in self.param_groups
        ]
        self.optim = self.optimizer_class(shares, **self._options)
        for group, share in zip(self.param_groups, self.optim.param_groups, strict=True):
            group.update({k: v for k, v in share.items() if k != "params"})

    def _hand_down(self) -> None:
        """What schedules wrote to the groups is what the shares are updated by."""
        assert self.optim is not None
        for group, share in zip(self.param_groups, self.optim.param_groups, strict=True):
            share.update({k: v for k, v in group.items() if k not in ("params", "param_names")})

    def step(self, closure: Any = None, **kwargs: Any) -> Any:
        """A step of each process's share, after which all have all of it."""
        assert self.optim is not None
        self._hand_down()
        self._everything = None
        loss = closure() if closure is not None else None
        if self._own:
            self.optim.step(**kwargs)
        self._send_updates()
        return loss

    @no_grad()
    def _send_updates(self) -> None:
        if self.process_group.size() == 1:
            return
        for owner, several in self._updates():
            is_own = owner == self.process_group.rank()
            count = sum(p.numel() for p in several)
            first = several[0]
            if is_own:
                flat = cat([p.detach().reshape(-1) for p in several])
            else:
                flat = empty(count, dtype=first.dtype, device=first.device)
            broadcast(flat, group=self.process_group, group_src=owner)
            if not is_own:
                parts = flat.split([p.numel() for p in several])
                for p, part in zip(several, parts, strict=True):
                    p.detach().copy_(part.view(p.shape))

    def _updates(self) -> Iterator[tuple[int, list[Tensor]]]:
        """Parameters by their owner, dtype and device, in an order that all processes have."""
        kinds: dict[Any, list[Tensor]] = {}
        for group in self.param_groups:
            for p in group["params"]:
                kinds.setdefault((self._owners[p], p.dtype.name, str(p.device)), []).append(p)
        for key, several in kinds.items():
            yield key[0], several

    # -- saving ----------------------------------------------------------------------------------

    def _numbers(self) -> dict[Tensor, int]:
        return {p: k for k, p in enumerate(p for g in self.param_groups for p in g["params"])}

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Bring the state of all processes together in process `to`, where `state_dict` gives it.
        All processes call it."""
        assert self.optim is not None
        numbers = self._numbers()
        own = {numbers[p]: state for p, state in self.optim.state.items()}
        is_target = self.process_group.ranks[self.process_group.rank()] == to
        found: list[Any] | None = [None] * self.process_group.size() if is_target else None
        gather_object(own, found, to, self.process_group)
        if found is not None:
            state = {k: v for part in found for k, v in part.items()}
            groups = super().state_dict()["param_groups"]
            self._everything = {"state": dict(sorted(state.items())), "param_groups": groups}

    def state_dict(self) -> Any:
        """The state of all processes, as the optimizer's own would be. Raises: RuntimeError before
        `consolidate_state_dict` brought it here."""
        if self._everything is not None:
            return self._everything
        if self.process_group.size() == 1:
            return super().state_dict()
        raise RuntimeError(
            "state_dict: expected the state of all processes. Got that of this one. Call "
            "consolidate_state_dict(to=rank) on all of them first, and state_dict() on that rank."
        )

    def load_state_dict(self, state_dict: Any) -> None:
        """Take over the state of all processes, of which each keeps its share."""
        assert self.optim is not None
        super().load_state_dict(state_dict)
        kept = {
            p: state for p, state in self.state.items() if p in self._own or p not in self._owners
        }
        self.optim.state.clear()
        self.optim.state.update(kept)
        self.state = self.optim.state
        self._hand_down()
