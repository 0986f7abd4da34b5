"""Random programs of views, writes and reads on one storage, beside NumPy arrays in lock step."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

import flambeau as torch

from .drawing import LAYOUTS, examples, seeds, values

AXIS = st.integers(0, 2)


class Storage(RuleBasedStateMachine):
    """Each tensor has a twin. Views of both share memory: a write must show in all the others."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Any, Any]] = []
        self.writes = 0

    members = Bundle("members")

    def keep(self, tensor: Any, twin: Any) -> int:
        self.pairs.append((tensor, twin))
        return len(self.pairs) - 1

    @initialize(target=members, seed=seeds, layout=st.sampled_from(sorted(LAYOUTS)))
    def begin(self, seed: int, layout: str) -> int:
        array = values((3, 4, 2), torch.float64, seed)
        tensor = LAYOUTS[layout](array)
        self.first_version = tensor._version
        return self.keep(tensor, LAYOUTS[layout](array).numpy())

    # -- views -----------------------------------------------------------------------------------

    @rule(target=members, k=members, a=AXIS, b=AXIS)
    def transposed(self, k: int, a: int, b: int) -> int:
        tensor, twin = self.pairs[k]
        if twin.ndim == 0:
            return k
        a, b = a % twin.ndim, b % twin.ndim
        return self.keep(tensor.transpose(a, b), twin.swapaxes(a, b))

    @rule(target=members, k=members, a=AXIS, start=st.integers(-4, 4), stop=st.integers(-4, 5),
          step=st.integers(1, 3))  # fmt: skip
    def sliced(self, k: int, a: int, start: int, stop: int, step: int) -> int:
        tensor, twin = self.pairs[k]
        if twin.ndim == 0:
            return k
        index = (slice(None),) * (a % twin.ndim) + (slice(start, stop, step),)
        return self.keep(tensor[index], twin[index])

    @rule(target=members, k=members, a=AXIS, at=st.integers(-3, 3))
    def selected(self, k: int, a: int, at: int) -> int:
        tensor, twin = self.pairs[k]
        if twin.ndim == 0 or not -twin.shape[a % twin.ndim] <= at < twin.shape[a % twin.ndim]:
            return k
        a %= twin.ndim
        return self.keep(tensor.select(a, at), twin[(slice(None),) * a + (at, ...)])

    @rule(target=members, k=members, a=AXIS)
    def unsqueezed(self, k: int, a: int) -> int:
        tensor, twin = self.pairs[k]
        if twin.ndim > 4:
            return k
        a %= twin.ndim + 1
        return self.keep(tensor.unsqueeze(a), np.expand_dims(twin, a))

    @rule(target=members, k=members)
    def flattened_if_it_can(self, k: int) -> int:
        tensor, twin = self.pairs[k]
        shown = twin.reshape(-1)
        shares = twin.size == 0 or np.shares_memory(shown, twin)
        try:
            view = tensor.view(-1)
        except RuntimeError:
            assert not shares
            return k
        assert shares
        return self.keep(view, shown)

    @rule(target=members, k=members, a=AXIS, b=AXIS, where=st.integers(-2, 2))
    def diagonal(self, k: int, a: int, b: int, where: int) -> int:
        tensor, twin = self.pairs[k]
        if twin.ndim < 2 or a % twin.ndim == b % twin.ndim:
            return k
        a, b = a % twin.ndim, b % twin.ndim
        shown = twin.diagonal(where, a, b)
        shown.flags.writeable = True
        return self.keep(tensor.diagonal(where, a, b), shown)

    @rule(target=members, k=members)
    def detached(self, k: int) -> int:
        tensor, twin = self.pairs[k]
        return self.keep(tensor.detach(), twin)

    # -- writes ----------------------------------------------------------------------------------

    @rule(k=members, seed=seeds)
    def copied_into(self, k: int, seed: int) -> None:
        tensor, twin = self.pairs[k]
        array = values(twin.shape, torch.float64, seed)
        tensor.copy_(torch.from_numpy(array))
        twin[...] = array
        self.writes += 1

    @rule(k=members, number=st.integers(-3, 3))
    def added_to(self, k: int, number: int) -> None:
        tensor, twin = self.pairs[k]
        tensor += number
        twin += number
        self.writes += 1

    @rule(k=members, j=members)
    def written_from_another_member(self, k: int, j: int) -> None:
        (tensor, twin), (source, other) = self.pairs[k], self.pairs[j]
        try:
            shape = np.broadcast_shapes(twin.shape, other.shape)
        except ValueError:
            return
        if shape != twin.shape:
            return
        tensor.copy_(source)
        twin[...] = other.copy()
        self.writes += 1

    @rule(k=members, start=st.integers(-3, 3), seed=seeds)
    def assigned(self, k: int, start: int, seed: int) -> None:
        tensor, twin = self.pairs[k]
        if twin.ndim == 0:
            return
        array = values(twin[start:].shape, torch.float64, seed)
        tensor[start:] = torch.from_numpy(array)
        twin[start:] = array
        self.writes += 1

    @rule(k=members)
    def clipped_where_large(self, k: int) -> None:
        tensor, twin = self.pairs[k]
        tensor[tensor > 1] = 1.5
        twin[twin > 1] = 1.5
        self.writes += 1

    @rule(k=members)
    def zeroed(self, k: int) -> None:
        tensor, twin = self.pairs[k]
        tensor.zero_()
        twin[...] = 0
        self.writes += 1

    # -- reads -----------------------------------------------------------------------------------

    @invariant()
    def every_member_shows_what_its_twin_shows(self) -> None:
        for tensor, twin in self.pairs:
            assert tuple(tensor.shape) == twin.shape
            np.testing.assert_array_equal(tensor.numpy(), twin)

    @invariant()
    def all_members_count_the_same_writes(self) -> None:
        for tensor, _ in self.pairs:
            assert tensor._version == self.first_version + self.writes

    @invariant()
    def size_stride_and_offset_lead_to_the_values(self) -> None:
        for tensor, twin in self.pairs:
            again = tensor.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            np.testing.assert_array_equal(again.numpy(), twin)


TestStorage = Storage.TestCase
TestStorage.settings = examples(30, stateful_step_count=20)
