"""Networks in NumPy float32, and the list of their steps.  Nothing here knows a crossbar."""
