"""What is measured on a GPU. `python -m tests.benchmarks cuda` prints the table and keeps it."""
