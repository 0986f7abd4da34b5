"""`optimization`: graphs made faster for inference; `sizes`: questions of tracing compilers."""
