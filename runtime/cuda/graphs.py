"""CUDA graphs: a sequence of kernels that is recorded once and launched as one.

While a graph is recorded nothing is computed: the kernels, with the addresses they read and write,
are kept. A replay runs them on whatever is at those addresses then, so new inputs are copied into
the tensors that were read (`static_input.copy_(batch)`), and results appear in those that were
made. What needs a value on the CPU (`item()`, `if tensor:`, printing), memory that comes from the
CPU, or a shape that depends on values, cannot be recorded, and says so.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Self

from ..autograd.function import Function
from ..backends import cuda as _backend
from ..backends.cuda.memory import CachingAllocator
from ..core import observers
from ..core.creation import ones, ones_like
from ..core.dtypes import uint64
from ..core.tensor import Tensor
from ..random import generator_for, generators
from .devices import is_available, synchronize
from .memory import empty_cache
from .pools import pool_numbers
from .streams import Stream, StreamContext, _cupy, current_stream

__all__ = [
    "CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing",
    "make_graphed_callables",
]  # fmt: skip

_users: dict[int, int] = {}

REPLAY = "CUDAGraph.replay"
"""What profiles call a replay."""

MODES = ("global", "thread_local", "relaxed")
"""What PyTorch may be told to refuse meanwhile. Here it is always "relaxed", which alone lets the
pool ask CUDA for memory; waiting for the recorded stream is refused in each."""


def is_current_stream_capturing() -> bool:
    """Whether work is being recorded into a graph."""
    return is_available() and bool(_backend.xp.cuda.get_current_stream().is_capturing())


def graph_pool_handle() -> tuple[int, int]:
    """A pool of memory for several graphs that are replayed in the order of their recording."""
    return 0, next(pool_numbers)


class CUDAGraph:
    """Kernels that were recorded between `capture_begin` and `capture_end`, for `replay`.

    Its memory is its own as long as it lives; `reset` gives it back.
    """

    def __init__(self, keep_graph: bool = False) -> None:
        _cupy()
        self._graph: Any = None
        self._numbers: list[Any] = []  # at addresses that the kernels read
        self._generators: list[Any] = []
        self._draws: list[Any] = []  # random numbers, which go on from replay to replay
        self._pool = self._before = 0
        self._stream: Any = None
        self._release: Any = None

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Record what the current stream, not the default one, is given from now on.

        `pool` is another graph's `pool()` or `graph_pool_handle()`. Raises: RuntimeError on the
        default stream, or if this graph was recorded before.
        """
        if self._graph is not None:
            raise RuntimeError("CUDAGraph: expected a new graph. Got a recorded one: reset() it.")
        if capture_error_mode not in MODES:
            raise ValueError(
                f"capture_error_mode: expected one of {', '.join(MODES)}. Got "
                f"{capture_error_mode!r}."
            )
        if not current_stream().cuda_stream:
            raise RuntimeError(
                "CUDAGraph: expected a stream other than the default one, which cannot be "
                "recorded. Use `with torch.cuda.graph(g):`, or `with torch.cuda.stream(s):`."
            )
        self._pool = next(pool_numbers) if pool is None else int(pool[1])
        _users[self._pool] = _users.get(self._pool, 0) + 1
        self._release = weakref.finalize(self, _let_go, self._pool, _backend.allocator)
        self._release.atexit = False  # the driver frees everything then
        generator_for(current_stream().device)  # which the first draw would make
        self._generators = [g for g in generators() if g.device.type == "cuda"]
        for generator in self._generators:
            place = ones((2,), dtype=uint64, device=generator.device)
            generator.philox.start_recording(place._array)
        self._before = _backend.allocator.allocate_from(self._pool)
        self._stream = _backend.xp.cuda.get_current_stream()
        self._stream.begin_capture(_backend.xp.cuda.runtime.streamCaptureModeRelaxed)
        _backend.is_recording += 1

    def capture_end(self) -> None:
        """End the recording. Raises: RuntimeError if something in it could not be recorded."""
        _backend.allocator.allocate_from(self._before)
        draws = [generator.philox.end_recording() for generator in self._generators]
        self._draws = [d for d in draws if d.words]
        _backend.is_recording -= 1
        self._numbers = list(_backend.recorded_numbers)
        if not _backend.is_recording:
            _backend.recorded_numbers.clear()
        try:
            self._graph = self._stream.end_capture()
        except _backend.xp.cuda.runtime.CUDARuntimeError as error:
            self.reset()
            raise RuntimeError(f"{_REFUSED} CUDA says: {error}") from error

    def replay(self) -> None:
        """Run the kernels again, on the current stream. Raises: RuntimeError before a recording."""
        if self._graph is None:
            raise RuntimeError("CUDAGraph: expected a recorded graph. Got an empty one.")
        for draws in self._draws:
            draws.prepare()
        stream = current_stream()
        for observer in observers.active:
            observer.operation_started(REPLAY, stream.device)
        started = perf_counter()
        self._graph.launch(stream.handle)
        for observer in observers.active:
            observer.graph_replayed(stream.device, perf_counter() - started)

    def reset(self) -> None:
        """Forget the kernels and give the memory back, except for tensors that still live."""
        self._graph = None
        if self._release is not None:
            self._release()

    def pool(self) -> tuple[int, int]:
        """The pool of its memory, for another graph's recording."""
        return 0, self._pool

    def enable_debug_mode(self) -> None:
        """Nothing: `debug_dump` always works."""

    def debug_dump(self, debug_path: str) -> None:
        """Write the kernels as a drawing in the DOT language."""
        with open(debug_path, "w", encoding="utf-8") as file:
            file.write(self._graph.debug_dot_str())


def _let_go(pool: int, allocator: CachingAllocator) -> None:
    """One graph less uses a pool; the last gives its memory back."""
    _users[pool] -= 1
    if not _users[pool]:
        del _users[pool]
        allocator.drop(pool)


_REFUSED = (
    "CUDAGraph: expected work that can be recorded: kernels on the GPU alone. Got some that waits "
    "for values or takes them from the CPU, such as item(), tolist(), cpu(), print, `if tensor:`, "
    "nonzero, boolean masks, or a tensor made from Python numbers. Do that before or after the "
    "recording, and keep inputs in tensors on the GPU."
)


def _is_refusal(error: Any) -> bool:
    """Whether CUDA would not record something, or CuPy did not even ask it."""
    if isinstance(error, _backend.xp.cuda.runtime.CUDARuntimeError):
        return True
    return isinstance(error, RuntimeError) and "captur" in str(error)


class graph:
    """A `with` block whose work on the GPU is recorded into `cuda_graph`, on a stream of its own.

    Example:
        >>> g = torch.cuda.CUDAGraph()
        >>> with torch.cuda.graph(g):
        ...     static_output = model(static_input)
        >>> static_input.copy_(batch)
        >>> g.replay()
    """

    default_capture_stream: Stream | None = None

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: Any = None,
        stream: Stream | None = None,
        capture_error_mode: str = "global",
    ) -> None:
        if stream is None and graph.default_capture_stream is None:
            graph.default_capture_stream = Stream()
        self.cuda_graph, self.pool, self.mode = cuda_graph, pool, capture_error_mode
        self.block = StreamContext(stream or graph.default_capture_stream)

    def __enter__(self) -> Self:
        synchronize()
        gc.collect()
        empty_cache()
        self.block.__enter__()
        try:
            self.cuda_graph.capture_begin(self.pool, self.mode)
        except BaseException:
            self.block.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            if error is None:
                self.cuda_graph.capture_end()
                return
            with suppress(RuntimeError):  # the first error tells more
                self.cuda_graph.capture_end()
            self.cuda_graph.reset()
            if _is_refusal(error):
                raise RuntimeError(f"{_REFUSED} CUDA says: {error}") from error
        finally:
            self.block.__exit__(kind, error, traceback)


Callables = Callable[..., Any] | tuple[Callable[..., Any], ...]


def make_graphed_callables(
    callables: Any,
    sample_args: Any,
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: Any = None,
) -> Any:
    """Functions or modules whose forward and backward passes are replays of graphs.

    `callables` is one or a tuple of them, `sample_args` the tuple of tensors that each is called
    with (a tuple of tuples for several); later calls have the same shapes, dtypes and
    `requires_grad`. A module is changed in place and returned. Before the recording each runs
    `num_warmup_iters` times.

    Raises: RuntimeError for what cannot be recorded.
    """
    is_one = not isinstance(callables, tuple)
    functions = (callables,) if is_one else callables
    samples = (sample_args,) if is_one else sample_args
    pool = graph_pool_handle() if pool is None else pool
    made = [
        _graphed(function, sample, num_warmup_iters, allow_unused_input, pool)
        for function, sample in zip(functions, samples, strict=True)
    ]
    return made[0] if is_one else tuple(made)


def _graphed(function: Any, sample: Any, warmups: int, allow_unused: bool, pool: Any) -> Any:
    from ..autograd import grad
    from ..nn import Module
    from ..utils._pytree import tree_flatten, tree_unflatten

    parameters = tuple(function.parameters()) if isinstance(function, Module) else ()
    inputs = tuple(sample)
    tracked = [t for t in (*inputs, *parameters) if t.requires_grad]
    side = Stream()
    side.wait_stream(current_stream())
    with StreamContext(side):
        for _ in range(warmups):
            outs = [t for t in tree_flatten(function(*inputs))[0] if t.requires_grad]
            if tracked and outs:
                ones = [ones_like(t) for t in outs]
                grad(outs, tracked, ones, allow_unused=allow_unused)
    current_stream().wait_stream(side)
    forward, backward = CUDAGraph(), CUDAGraph()
    with graph(forward, pool=pool):
        outputs, structure = tree_flatten(function(*inputs))
    outs = [t for t in outputs if t.requires_grad]
    cotangents = [ones_like(t) for t in outs]
    gradients: tuple[Any, ...] = ()
    if tracked and outs:
        with graph(backward, pool=pool):
            gradients = grad(outs, tracked, cotangents, allow_unused=allow_unused)
    found = iter(gradients)
    static = [next(found, None) if t.requires_grad else None for t in (*inputs, *parameters)]

    class Replay(Function):
        """The replays of one call, recorded as one operation."""

        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            for own, given in zip(inputs, args, strict=False):
                if own.data_ptr() != given.data_ptr():
                    own.detach().copy_(given.detach())
            forward.replay()
            ctx.mark_non_differentiable(*[t for t in outputs if not t.requires_grad])
            return tuple(t.detach() for t in outputs)

        @staticmethod
        def backward(ctx: Any, *g: Any) -> Any:
            given = [v for v, t in zip(g, outputs, strict=True) if t.requires_grad]
            for own, value in zip(cotangents, given, strict=True):
                if value is not None:
                    own.copy_(value)
            backward.replay()
            return tuple(None if t is None else t.detach() for t in static)

    def call(*args: Tensor) -> Any:
        results = Replay.apply(*args, *parameters)
        results = results if isinstance(results, tuple) else (results,)
        return tree_unflatten(list(results), structure)

    if not isinstance(function, Module):
        return call
    eager, training = function.forward, function.training

    def replayed(*args: Any, **options: Any) -> Any:
        same = function.training == training and not options
        return call(*args) if same else eager(*args, **options)

    function.forward = replayed
    return function
