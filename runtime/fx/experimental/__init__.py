"""`optimization`: graphs made faster for inference."""
