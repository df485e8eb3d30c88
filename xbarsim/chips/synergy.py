"""Chips of kind synergy."""

from xbarsim.chips.files.chip import ReadEnergy
from xbarsim.chips.files.synergy import SynergyFile
from xbarsim.chips.lowering_synergy import SynergyLowering
from xbarsim.chips.peak import Nested, peak_of
from xbarsim.chips.plans import Lowered, Plan, Workload
from xbarsim.chips.pricing import bill, lowered
from xbarsim.chips.result import Bill, Peak


class Synergy(SynergyFile):
    """Dense arrays as memory, a pool of computation crossbars for every product."""

    def plan(self, workload: Workload) -> Plan:
        return SynergyLowering(self, workload).plan()

    def lower(self, workload: Workload) -> Lowered:
        return lowered(self, workload)

    def price(
        self, lowered: Lowered, workload: Workload, read_energy: ReadEnergy | None = None
    ) -> Bill:
        return bill(self, lowered, workload, read_energy)

    def peak(self, name: str) -> Peak:
        """Of one crossbar and one dense array."""
        nested = [Nested("crossbar", 1), Nested("dense", 0)]
        return peak_of(self, nested, shared="crossbar", product=None)
