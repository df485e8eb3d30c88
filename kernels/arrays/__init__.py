"""Kernels of arrays: converters, counting conversions, integer functions, products of rows."""
