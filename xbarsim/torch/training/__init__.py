"""Training on chips: cells that are written anew in every step, and the loop of `xbarsim train`."""
