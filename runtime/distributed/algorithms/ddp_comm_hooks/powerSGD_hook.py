"""Gradients sent as products of two thin matrices; what that leaves out is added to the next.

Source: Vogels, Karimireddy and Jaggi, PowerSGD, arXiv:1905.13727, algorithms 1 and 2.
"""

from __future__ import annotations

from typing import Any

from ....autograd.grad_mode import no_grad
from ....core.creation import zeros_like
from ....core.tensor import Tensor
from ....futures import Future
from ....linalg import qr
from ....ops.joins import cat
from ....ops.sampling import randn
from ....random import Generator
from ...collectives import all_reduce
from ...group import world
from ...reducer import GradBucket
from .default_hooks import allreduce_hook

__all__ = ["PowerSGDState", "powerSGD_hook"]


class PowerSGDState:
    """What `powerSGD_hook` keeps from step to step.

    Gradients of `matrix_approximation_rank` are sent from iteration `start_powerSGD_iter` on, of
    those parameters where that takes at most 1 / `min_compression_rate` of the bytes.
    `use_error_feedback` adds what was left out to the next gradient, `warm_start` begins with the
    last factors.
    """

    def __init__(
        self,
        process_group: Any,
        matrix_approximation_rank: int = 1,
        start_powerSGD_iter: int = 1_000,
        min_compression_rate: float = 2,
        use_error_feedback: bool = True,
        warm_start: bool = True,
        orthogonalization_epsilon: float = 0,
        random_seed: int = 0,
        compression_stats_logging_frequency: int = 10_000,
        batch_tensors_with_same_shape: bool = False,
    ) -> None:
        if matrix_approximation_rank < 1:
            raise ValueError(
                f"PowerSGDState: expected a rank of 1 or more. Got {matrix_approximation_rank}."
            )
        self.process_group = process_group
        self.matrix_approximation_rank = matrix_approximation_rank
        self.start_powerSGD_iter = start_powerSGD_iter
        self.min_compression_rate = min_compression_rate
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.generator = Generator()
        self.generator.manual_seed(random_seed)  # the same in all processes
        self.iter = 0
        self.errors: dict[int, Tensor] = {}
        self.factors: dict[tuple[int, int], Tensor] = {}


def _as_matrix(gradient: Tensor) -> Tensor:
    return gradient.reshape(gradient.shape[0], -1)


def _pays(state: PowerSGDState, gradient: Tensor) -> bool:
    if gradient.ndim < 2:
        return False
    rows, columns = _as_matrix(gradient).shape
    rank = min(rows, columns, state.matrix_approximation_rank)
    return (rows + columns) * rank * state.min_compression_rate < rows * columns


@no_grad()
def powerSGD_hook(state: PowerSGDState, bucket: GradBucket) -> Future[Tensor]:
    """The average of low-rank approximations; of vectors, and of small matrices, the average.

    Its three messages are waited for here, so that they do not overlap the backward pass.
    """
    if bucket.is_last():
        state.iter += 1
    if state.iter < state.start_powerSGD_iter:
        return allreduce_hook(state.process_group, bucket)
    flat, size = bucket.buffer(), world(state.process_group).size()
    if state.use_error_feedback:
        if bucket.index() not in state.errors:
            state.errors[bucket.index()] = zeros_like(flat)
        flat.add_(state.errors[bucket.index()])
    before = flat.clone() if state.use_error_feedback else None
    gradients = bucket.gradients()
    whole = [g for g in gradients if not _pays(state, g)]
    matrices = [_as_matrix(g) for g in gradients if _pays(state, g)]
    if whole:
        _average(state, whole, size)
    if matrices:
        approximations = _approximated(state, bucket.index(), matrices, size)
        for matrix, found in zip(matrices, approximations, strict=True):
            matrix.copy_(found)
    if before is not None:
        state.errors[bucket.index()] = before.sub_(flat)
        for g, error in zip(gradients, _split_like(before, gradients), strict=True):
            if not _pays(state, g):
                error.zero_()  # was sent whole
    done: Future[Tensor] = Future()
    done.set_result(flat)
    return done


def _split_like(flat: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    return list(flat.split([t.numel() for t in tensors]))


def _average(state: PowerSGDState, tensors: list[Tensor], size: int) -> None:
    """Average all tensors in one message, in place."""
    flat = cat([t.reshape(-1) for t in tensors])
    all_reduce(flat, group=state.process_group)
    flat.div_(size)
    for t, part in zip(tensors, _split_like(flat, tensors), strict=True):
        t.copy_(part.view(t.shape))


def _approximated(
    state: PowerSGDState, index: int, matrices: list[Tensor], size: int
) -> list[Tensor]:
    """P Q^T for each matrix M of the average: one step of subspace iteration on the last Q."""
    right = []
    for k, m in enumerate(matrices):
        rank = min(*m.shape, state.matrix_approximation_rank)
        known = state.factors.get((index, k)) if state.warm_start else None
        if known is None:
            known = randn(m.shape[1], rank, generator=state.generator).to(m.device, m.dtype)
        right.append(qr(known).Q)
    left = [m @ q for m, q in zip(matrices, right, strict=True)]
    _average(state, left, size)
    left = [qr(p).Q for p in left]
    right = [m.mT @ p for m, p in zip(matrices, left, strict=True)]
    _average(state, right, size)
    state.factors.update({(index, k): q for k, q in enumerate(right)})
    return [p @ q.mT for p, q in zip(left, right, strict=True)]
