"""`python -m flambeau.kernel -f FILE`: the kernel, as Jupyter and our own front ends start it."""

from __future__ import annotations

from ipykernel.kernelapp import IPKernelApp

from .jupyter import FlambeauKernel


def main() -> None:
    """Serve until a shutdown request."""
    IPKernelApp.launch_instance(kernel_class=FlambeauKernel)


if __name__ == "__main__":
    main()
