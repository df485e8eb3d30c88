"""Kernels of cells: random numbers, writes, pulses, telegraph noise."""
