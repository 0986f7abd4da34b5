"""Ways to bring gradients together."""
