"""What is measured against PyTorch. `python -m tests.benchmarks cpu` prints the table."""
