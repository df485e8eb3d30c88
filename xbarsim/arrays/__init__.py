"""What multiplies: in-situ tiles, counting crossbars, the dense memory; knows no model."""
