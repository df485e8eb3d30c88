"""Traces and chips as text, files and pictures."""
