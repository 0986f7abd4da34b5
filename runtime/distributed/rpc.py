"""Remote procedure calls, which are not served: as in a PyTorch built without them, only the
question is answered."""

__all__ = ["is_available"]


def is_available() -> bool:
    """False."""
    return False
