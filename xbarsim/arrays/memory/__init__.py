"""The dense crossbar as memory of weights."""
