"""Data files of xbarsim: every physical constant with its unit, source and valid range, and the named studies."""
