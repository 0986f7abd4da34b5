"""What code written for `vmap` in PyTorch's compiler looks up."""

from contextlib import nullcontext


class TransformGetItemToIndex(nullcontext[None]):
    """A `with` block in which tensors can be indexed by the indices of a vmap; here they always
    can."""
