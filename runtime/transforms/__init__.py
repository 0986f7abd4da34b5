"""Function transforms, which `func` offers: `vmap`, gradients, Jacobians, stateless modules."""
