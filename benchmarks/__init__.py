"""Benchmarks against peers and floors, and how to repeat them (``results*.md``)."""
