"""The package, not yet loaded: what a process holds that may never compute anything.

Run as a file, before anything imports `flambeau`: the name then stands for a module that loads
itself at the first use of what it lacks. A kernel that waits for its first cell needs neither NumPy
nor the operations (32 MB), and is there sooner.
"""

import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

waking = threading.RLock()


class Asleep(ModuleType):
    """A package that knows its path, so that what lies in it can be imported, and no more."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name != "__version__":
            raise AttributeError(name)  # who only looks around wakes nobody
        with waking:
            if type(self) is Asleep:
                self.__class__ = ModuleType  # type: ignore[assignment]
                try:
                    self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
                except BaseException:
                    self.__class__ = Asleep  # the next use tries again
                    raise
        return getattr(self, name)


def lie_down(name: str) -> None:
    """Let the package be imported as one that sleeps, unless it is loaded already."""
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        sys.modules[name] = package = Asleep(name)
        package.__spec__, package.__loader__ = spec, spec.loader
        package.__path__ = spec.submodule_search_locations  # type: ignore[attr-defined]
        package.__file__, package.__package__ = spec.origin, name


lie_down("flambeau")
