"""YAML matrices to cells."""
