"""Adapters of cluster systems, one module or folder each."""
