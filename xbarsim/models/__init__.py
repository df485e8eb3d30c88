"""Networks in NumPy float32, and the one list of their steps.  Nothing here knows a crossbar."""
