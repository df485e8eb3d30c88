"""Kernels of one crossbar: transfer matrix, node voltages, nonlinear cells, transients."""
