"""Kernels of training: cells that are moved by pulses."""
