"""Comparison of every operation with PyTorch's, on PyTorch's own sample inputs. Run by hand."""
