"""One crossbar as a circuit person sees it."""
