"""Values that are not there yet."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value that is set once, in any thread, and waited for in others.

    `devices` is PyTorch's and not needed.

    Example:
        >>> f = Future()
        >>> g = f.then(lambda f: f.value() + 1)
        >>> f.set_result(2)
        >>> g.wait()
        3
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], Any]] = []

    def done(self) -> bool:
        """Whether the value, or an error in its place, is there."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> T:
        """The value, which is waited for, `timeout` seconds at most. Raises: the error that was set
        in its place, TimeoutError."""
        if not self._event.wait(timeout):
            raise TimeoutError(f"Future: expected a value within {timeout:g} s. None came.")
        return self.value()

    def value(self) -> T:
        """The value. Raises: the error that was set in its place, RuntimeError before either."""
        if not self.done():
            raise RuntimeError("Future: expected a value that is there. Call wait() first.")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[no-any-return]

    def set_result(self, result: T) -> None:
        """Set the value. Raises: RuntimeError for a second time."""
        self._set(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Set an error in place of the value. Raises: RuntimeError for a second time."""
        self._set(None, result)

    def _set(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if self.done():
                raise RuntimeError("Future: expected one result. This one has it already.")
            self._value, self._error = value, error
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call(callback)

    def _call(self, callback: Callable[[Future[T]], Any]) -> None:
        """An error of a callback is shown and goes no further: it is not of who sets the value."""
        try:
            callback(self)
        except Exception:
            print("Future: a callback failed.", file=sys.stderr)
            traceback.print_exc()

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Call `callback(self)` once the value is there: in the thread that sets it, or now. What
        it raises is printed."""
        with self._lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        self._call(callback)

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """A future of what `callback(self)` returns once the value is there."""
        following: Future[Any] = Future()

        def go_on(_: Future[T]) -> None:
            try:
                found = callback(self)
            except Exception as error:
                following.set_exception(error)
            else:
                following.set_result(found)

        self.add_done_callback(go_on)
        return following


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of `futures`, done when all are."""
    whole: Future[list[Future[Any]]] = Future()
    left = len(futures)
    lock = threading.Lock()

    def count(_: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            is_last = left == 0
        if is_last:
            whole.set_result(futures)

    if not futures:
        whole.set_result(futures)
    for future in futures:
        future.add_done_callback(count)
    return whole


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """The values of all, which are waited for."""
    return [future.wait() for future in futures]
