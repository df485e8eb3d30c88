"""What everything stands on: errors, units, files by name, the cache, interrupts."""
