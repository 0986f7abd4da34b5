"""The checker's corpus: cells that work, and the faults put into them."""
