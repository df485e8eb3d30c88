"""What a cell makes of a write and a read."""
