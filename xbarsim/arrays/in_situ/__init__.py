"""Weight matrices on programmed tiles."""
