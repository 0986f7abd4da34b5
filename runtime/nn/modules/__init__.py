"""The layers, a family a file."""
