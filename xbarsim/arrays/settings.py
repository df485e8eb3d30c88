"""The tables of a study that arrays use, of one matrix or product."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xbarsim.circuit.wires import have_resistance
from xbarsim.config.arrays import Adc, Dac, Effects, Mapping
from xbarsim.config.correction import Correction
from xbarsim.config.read_noise import ReadNoise
from xbarsim.config.study import Study
from xbarsim.config.synergy import Computation
from xbarsim.config.wires import Wires
from xbarsim.devices.model import DeviceModel


@dataclass(frozen=True)
class InSituSettings:
    """What programmed tiles and their converters are."""

    mapping: Mapping
    wires: Wires
    dac: Dac
    adc: Adc
    read_noise: ReadNoise
    effects: Effects
    correction: Correction = Correction()

    @classmethod
    def of(cls, study: Study) -> InSituSettings:
        """Those of a study, whose `[[layer]]` tables are left aside: see `Study.for_layer`."""
        return cls(
            mapping=study.mapping,
            wires=study.wires,
            dac=study.dac,
            adc=study.adc,
            read_noise=study.read_noise,
            effects=study.effects,
            correction=study.correction,
        )

    def read_voltage(self, device: DeviceModel) -> float:
        """Volt that the largest input puts on a word line."""
        if self.dac.full_scale_v is not None:
            return self.dac.full_scale_v
        return device.read_voltage

    @classmethod
    def of_activations(cls, study: Study) -> InSituSettings:
        """Those of cells that hold keys and values, whose reads are independent draws."""
        settings = cls.of(study)
        independent = settings.read_noise.model_copy(update={"correlation": "independent"})
        mapping = settings.mapping.model_copy(update={"array": "single"})
        correction = settings.correction.model_copy(update={"rows": "none", "columns": "none"})
        return replace(settings, read_noise=independent, mapping=mapping, correction=correction)

    @property
    def solved_wires(self) -> Wires | None:
        """The wires of a tile, None where they are left out or have no resistance."""
        return _solved(self.wires, self.effects)


@dataclass(frozen=True)
class CountingSettings:
    """What computation crossbars are."""

    computation: Computation
    wires: Wires
    effects: Effects

    @classmethod
    def of(cls, study: Study) -> CountingSettings:
        """Those of a study, whose `[[layer]]` tables are left aside: see `Study.for_layer`."""
        return cls(computation=study.computation, wires=study.wires, effects=study.effects)

    @property
    def solved_wires(self) -> Wires | None:
        """The wires of a crossbar, None where they are left out or have no resistance."""
        return _solved(self.wires, self.effects)


def _solved(wires: Wires, effects: Effects) -> Wires | None:
    if effects.with_wires and have_resistance(wires):
        return wires
    return None
