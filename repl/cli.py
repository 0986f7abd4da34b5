"""The `flambeau` command."""


def main() -> int:
    """Placeholder entry until the front end lands."""
    return 0
