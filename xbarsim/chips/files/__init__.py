"""Chip files: their tables by kind of architecture, and what a file alone says."""
