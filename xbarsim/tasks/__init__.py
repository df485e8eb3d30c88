"""Labelled examples and their metrics; knows no model."""
