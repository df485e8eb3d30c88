"""Networks of images trained: in floating point, around the defects of a chip, or in the array."""
