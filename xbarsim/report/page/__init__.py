"""A report as one self-contained HTML page with interactive plots."""
