"""Traces and chips as text, files, pictures and pages."""
