"""Computation crossbars: products of two digital operands by counting conducting cells."""
