"""Energy, area and time of architectures; reads shapes of models, no weights."""
