"""Training on inputs of different numbers: a process that has none left stands in for itself in the
collectives of the others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..core.creation import tensor
from .collectives import all_reduce
from .reductions import ReduceOp

if TYPE_CHECKING:
    from ..nn.parallel.distributed import DistributedDataParallel


__all__ = ["Join"]


class Join:
    """A `with` block in which several modules train on inputs of different numbers: the
    `join` of each `DistributedDataParallel` given.

    Raises: TypeError for anything else; ValueError for none.
    """

    def __init__(
        self,
        joinables: Sequence[Any],
        enable: bool = True,
        throw_on_early_termination: bool = False,
        divide_by_initial_world_size: bool = True,
    ) -> None:
        if not joinables:
            raise ValueError("Join: expected modules. Got none.")
        strange = [type(j).__name__ for j in joinables if not hasattr(j, "_joining")]
        if strange:
            raise TypeError(f"Join: expected DistributedDataParallel modules. Got {strange}.")
        self._blocks = ExitStack()
        options = divide_by_initial_world_size, enable, throw_on_early_termination
        self._joins = [joinable.join(*options) for joinable in joinables]

    def __enter__(self) -> None:
        for join in self._joins:
            self._blocks.enter_context(join)

    def __exit__(self, *failure: Any) -> None:
        self._blocks.__exit__(*failure)


class Joining:
    """The rounds of a `DistributedDataParallel.join` block: one for each forward pass, in which all
    processes say whether they have inputs."""

    def __init__(self, module: DistributedDataParallel, divides_by_all: bool, throws: bool) -> None:
        self.module, self.divides_by_all, self.throws = module, divides_by_all, throws
        self.group = module.process_group

    def round(self, has_inputs: bool) -> tuple[int, int]:
        """How many processes have inputs, and the last rank of those. Raises: RuntimeError if one
        has none and that is to end all."""
        counts = tensor([int(has_inputs), 0])
        counts[1] = self.group.rank() + 1 if has_inputs else 0
        everyone = counts.clone()
        all_reduce(everyone[:1], group=self.group)
        all_reduce(everyone[1:], ReduceOp.MAX, self.group)
        active, last = everyone.tolist()
        if self.throws and active < self.group.size():
            raise RuntimeError(
                "join: expected inputs in all processes, as throw_on_early_termination is set. "
                f"{self.group.size() - active} of {self.group.size()} have none left."
            )
        return active, last - 1

    def begin_pass(self) -> int:
        """At a forward pass: the rank that buffers come from."""
        active, last = self.round(True)
        if not self.divides_by_all:
            self.module.reducer.divisor = active
        return last

    def stand_in(self) -> None:
        """Without inputs: take part until nobody has any; then have the parameters of one of those
        that were last."""
        final = self.group.rank()
        while True:
            active, last = self.round(False)
            if not active:
                break
            final = last
            if self.module.broadcast_buffers:
                self.module._broadcast(self.module._buffers_to_share(), last)
            self.module.reducer.stand_in()
        chosen = tensor([final])
        all_reduce(chosen, ReduceOp.MAX, self.group)
        states = self.module.module.state_dict(keep_vars=True)
        self.module._broadcast(states.values(), int(chosen.item()))
        self.module.reducer.divisor = self.group.size()
