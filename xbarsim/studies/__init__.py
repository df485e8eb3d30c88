"""Runs: batches, traces, repeats, what the dense memory does to a model."""
