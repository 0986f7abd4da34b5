"""A collective under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..futures import Future
from .failures import DistTimeoutError
from .store import seconds_of


class Work:
    """A collective under way, as `async_op=True` returns it. Tensors may be used again after
    `wait`."""

    def __init__(self, words: str, result: Any = None) -> None:
        self.words = words
        self._result = result
        self._future: Future[Any] = Future()

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """Wait for the end, `timeout` at most (default: that of the group). Raises:
        DistBackendError if it failed, DistTimeoutError."""
        seconds = None if timeout is None else seconds_of(timeout)
        if not self._future._event.wait(seconds):
            raise DistTimeoutError(
                f"wait: expected {self.words} to end within {seconds:g} s. It goes on: call wait() "
                "again, or destroy_process_group()."
            )
        self._future.value()
        return True

    def is_completed(self) -> bool:
        """Whether it is done, well or not."""
        return self._future.done()

    def is_success(self) -> bool:
        """Whether it is done and well."""
        return self._future.done() and self._future._error is None

    def exception(self) -> BaseException | None:
        """What it failed with."""
        return self._future._error

    def result(self) -> Any:
        """The tensors that it filled, as a list; it is waited for."""
        self.wait()
        return self._result

    def get_future(self) -> Future[Any]:
        """A future of the list of tensors that it fills."""
        return self._future

    def source_rank(self) -> int:
        """The rank that a message came from. Raises: RuntimeError for what is no `irecv`."""
        raise RuntimeError(f"source_rank: expected an irecv. Got {self.words}.")

    def _finish(self, error: BaseException | None) -> None:
        if error is None:
            self._future.set_result(self._result)
        else:
            self._future.set_exception(error)
