"""oneDNN under the CPU backend: matrix products, convolutions, pooling, normalization, recurrence.

The library is called through its C interface. It is looked for and loaded when the first large
operation comes, never by `import flambeau`; where it is not installed or does not load (it exists
for x86-64 Linux), the array kernels serve.
"""

from . import packed, primitives


def free() -> None:
    """Let go of what is kept from call to call: primitives, scratch memory and packed weights."""
    packed.free()
    primitives.free()
