"""One crossbar as a circuit person sees it: `Crossbar`, its `Solution` and its `Settling`."""

from xbarsim.circuit.crossbar import Crossbar
from xbarsim.circuit.settling import Settling
from xbarsim.circuit.solution import Solution

__all__ = ["Crossbar", "Settling", "Solution"]
