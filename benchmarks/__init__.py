"""Measures the package against its stated figures: `make bench`, or `python -m benchmarks`."""
