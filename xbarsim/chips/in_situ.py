"""Chips of kind in-situ."""

from xbarsim.chips.files.chip import ReadEnergy
from xbarsim.chips.files.in_situ import InSituFile
from xbarsim.chips.lowering_in_situ import InSituLowering, unit_product
from xbarsim.chips.peak import Nested, peak_of
from xbarsim.chips.plans import Lowered, Plan, Workload
from xbarsim.chips.pricing import bill, lowered
from xbarsim.chips.result import Bill, Peak


class InSitu(InSituFile):
    """Every weight in the array that multiplies with it."""

    def plan(self, workload: Workload) -> Plan:
        return InSituLowering(self, workload).plan()

    def lower(self, workload: Workload) -> Lowered:
        return lowered(self, workload)

    def price(
        self, lowered: Lowered, workload: Workload, read_energy: ReadEnergy | None = None
    ) -> Bill:
        return bill(self, lowered, workload, read_energy)

    def peak(self, name: str) -> Peak:
        """A chip of kind `fit` has no size of its own, so its chip level is absent."""
        nested = [Nested("unit", 1), Nested("tile", self.organisation.units_per_tile)]
        if self.organisation.tiles != "fit":
            nested.append(Nested("chip", self.organisation.tiles))
        return peak_of(self, nested, shared="tile", product=unit_product(self))
