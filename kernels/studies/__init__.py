"""Kernels of studies."""
