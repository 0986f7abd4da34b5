"""What every other part of the runtime stands on: tensors, dtypes, devices, observers."""
