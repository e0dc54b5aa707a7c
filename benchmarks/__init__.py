"""Measurements against the host and its other sandboxes: ``python -m benchmarks``."""
