"""`%device` and `%seed`: what holds for the whole session."""

from __future__ import annotations

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

import flambeau
from flambeau import cuda

from .base import Instrument, UsageError, joined


@magics_class
class SettingMagics(Instrument):
    """Sets defaults of the session."""

    @magic_arguments()
    @argument("device", nargs="?", metavar="cpu|cuda|meta", help="where new tensors are made")
    @line_magic("device")
    def device(self, line: str) -> None:
        """Show the devices that are there and where new tensors are made, or set it.

        Examples: %device, %device cuda, %device cpu
        """
        name = self.arguments(self.device, line).device
        if name is not None:
            try:
                flambeau.set_default_device(name)
            except (RuntimeError, AssertionError) as error:
                raise UsageError(f"%device: {error}") from None
        print(f"New tensors are made on {flambeau.get_default_device()}.")
        if name is None:
            print(f"There: {joined(devices())}.")

    @magic_arguments()
    @argument("seed", nargs="?", help="an integer")
    @line_magic("seed")
    def seed(self, line: str) -> None:
        """Seed the random numbers of the runtime, of NumPy and of Python alike, or show the seed.

        Examples: %seed 0, %seed
        """
        text = self.arguments(self.seed, line).seed
        if text is None:
            print(f"The seed is {flambeau.initial_seed()}.")
            return
        try:
            seed = int(text)
        except ValueError:
            raise UsageError(f"%seed: expected an integer. Got {text!r}.") from None
        seed_everything(seed)
        print(f"Seeded with {seed}: torch, numpy.random, random.")


def devices() -> list[str]:
    """The devices that can be used."""
    return ["cpu", "meta", *(f"cuda:{k}" for k in range(cuda.device_count()))]


def seed_everything(seed: int) -> None:
    """Seed every generator that a training script draws from."""
    import random

    import numpy as np

    flambeau.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
