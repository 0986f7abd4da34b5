"""Plans: how cuDNN computes a graph of operations, as its heuristics or measurements choose."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from . import descriptors as d
from .descriptors import Descriptor, Kind, made
from .library import CuDNNError, Library

HEURISTICS = (3, 2)
"""CUDNN_HEUR_MODE_A and, where it finds nothing that works, CUDNN_HEUR_MODE_FALLBACK."""
MOST_CONFIGS = 128
"""Ways of computing that the heuristics are asked for, the best first."""
MOST_PACKS = 64
"""Sets of addresses that a plan keeps; a training step uses the same few again and again."""

TENSOR_CORE, DOWN_CONVERT_INPUTS, NONDETERMINISTIC, NOTES = 0, 1, 4, 16
"""Of cudnnBackendNumericalNote_t, and room for all of them."""


class Rules(NamedTuple):
    """What ways of computing are allowed."""

    is_exact: bool
    """Whether factors may not be rounded to TF32."""
    is_deterministic: bool

    def allow(self, notes: set[int]) -> bool:
        """Whether an engine with these notes may be taken."""
        if self.is_deterministic and NONDETERMINISTIC in notes:
            return False
        return not self.is_exact or not notes & {TENSOR_CORE, DOWN_CONVERT_INPUTS}


class Plan:
    """A way of computing a graph whose tensors in memory are numbered from 1 on."""

    def __init__(
        self, library: Library, handle: int | None, config: Descriptor, count: int
    ) -> None:
        """Raises: CuDNNError if the engine cannot be had here."""
        self.library = library
        self.descriptor = made(
            library, Kind.PLAN, {d.PLAN_HANDLE: handle, d.PLAN_ENGINE_CONFIG: config}
        )
        size = (ctypes.c_int64 * 1)()
        self.descriptor.get(d.PLAN_WORKSPACE_SIZE, size)
        self.workspace_bytes: int = size[0]
        self.numbers = tuple(range(1, count + 1))
        self.packs: dict[tuple[int, ...], Descriptor] = {}

    def run(self, handle: int | None, workspace: int, pointers: tuple[int, ...]) -> None:
        """Compute, on the handle's stream, from and into tensors at these addresses.

        Raises: CuDNNError.
        """
        pack = self.packs.get((workspace, *pointers))
        if pack is None:
            pack = self._packed(workspace, pointers)
        status = self.library.execute(handle, self.descriptor.value, pack.value)
        if status:
            raise self.library.error("BackendExecute", status)

    def _packed(self, workspace: int, pointers: tuple[int, ...]) -> Descriptor:
        if len(self.packs) >= MOST_PACKS:
            self.packs.clear()
        values = {
            d.PACK_NUMBERS: self.numbers,
            d.PACK_POINTERS: pointers,
            d.PACK_WORKSPACE: workspace,
        }
        pack = self.packs[workspace, *pointers] = made(self.library, Kind.VARIANT_PACK, values)
        return pack


def graph(library: Library, handle: int | None, operations: Sequence[Descriptor]) -> Descriptor:
    """Operations that are computed together. Raises: CuDNNError if they do not fit."""
    values = {d.GRAPH_HANDLE: handle, d.GRAPH_OPERATIONS: tuple(operations)}
    return made(library, Kind.GRAPH, values)


def plans(
    library: Library,
    handle: int | None,
    whole: Descriptor,
    count: int,
    rules: Rules,
    modes: Sequence[int] = HEURISTICS,
) -> Iterator[Plan]:
    """The plans for a graph with `count` tensors in memory that are allowed and can be had, those
    that are expected to be fastest first.

    Raises: CuDNNError if there are none for another reason than that cuDNN has no code.
    """
    is_found, failure = False, None
    for mode in modes:
        for config in _configs(library, whole, mode):
            if not rules.allow(_notes(library, config)):
                continue
            try:
                plan = Plan(library, handle, config, count)
            except CuDNNError as error:
                failure = failure if error.is_unsupported else error
                continue
            is_found = True
            yield plan
    if failure is not None and not is_found:
        raise failure


def _configs(library: Library, whole: Descriptor, mode: int) -> list[Descriptor]:
    values = {d.HEURISTICS_GRAPH: whole, d.HEURISTICS_MODE: mode}
    try:
        heuristics = made(library, Kind.HEURISTICS, values)
    except CuDNNError as error:
        if error.is_unsupported:
            return []
        raise
    found = [Descriptor(library, Kind.ENGINE_CONFIG) for _ in range(MOST_CONFIGS)]
    for config in found:
        config.kept.append(whole)
    room = (ctypes.c_void_p * MOST_CONFIGS)(*[c.value for c in found])
    return found[: heuristics.get(d.HEURISTICS_RESULTS, room)]


def _notes(library: Library, config: Descriptor) -> set[int]:
    """What is to be known of an engine's numbers."""
    engine = Descriptor(library, Kind.ENGINE)
    config.get(d.ENGINE_CONFIG_ENGINE, (ctypes.c_void_p * 1)(engine.value))
    notes = (ctypes.c_int * NOTES)()
    return set(notes[: engine.get(d.ENGINE_NUMERICAL_NOTES, notes)])
