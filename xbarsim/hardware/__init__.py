"""Every step of a model on one simulated chip."""
