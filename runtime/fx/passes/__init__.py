"""Passes over graphs: `shape_prop` notes shapes, `split_module` cuts a graph into modules."""
