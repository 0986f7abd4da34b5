"""What is measured against PyTorch. `python -m tests.benchmarks` prints the tables."""
