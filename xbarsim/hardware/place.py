"""A step of a model with its settings and its device: what a setting may matter to."""

from dataclasses import dataclass
from typing import Any

from xbarsim.arrays.in_situ.converters import has_errors
from xbarsim.arrays.in_situ.input_coder import has_driver_errors
from xbarsim.circuit.wires import have_resistance
from xbarsim.config.functions import Gelu, LayerNorm, Softmax
from xbarsim.config.study import Study
from xbarsim.devices.conditions import Effect, effects_on
from xbarsim.devices.model import DeviceModel
from xbarsim.models.graph import Kind, Role, Step

FunctionTable = Softmax | LayerNorm | Gelu

# Tables [functions.*] of a study, and the kind of step that each is for.
FUNCTIONS = {"softmax": Kind.SOFTMAX, "layer_norm": Kind.NORM, "gelu": Kind.ACTIVATION}

OF_READS = (Effect.READ_NOISE, Effect.FLICKER, Effect.TELEGRAPH)


@dataclass(frozen=True)
class Place:
    """A step of the model, the study as it applies to it (`Study.for_layer`), and the device."""

    step: Step
    study: Study
    device: DeviceModel

    @property
    def hardware(self) -> str:
        """What multiplies: "in_situ", "computation" or "digital"."""
        if self.step.kind is Kind.MATRIX:
            return self.study.products.lies_on(self.step.role is Role.LOGITS)
        if self.step.kind is Kind.PRODUCT:
            return self.study.products.attention
        return "digital"

    @property
    def in_situ(self) -> bool:
        return self.hardware == "in_situ"

    @property
    def counts(self) -> bool:
        """Whether computation crossbars multiply."""
        return self.hardware == "computation"

    @property
    def stored(self) -> bool:
        """Whether a dense memory stores the matrix."""
        return self.counts and self.step.kind is Kind.MATRIX

    @property
    def segment(self) -> bool:
        """Whether a segment of the dense memory is solved, with wires and device."""
        return self.stored and self.study.memory.errors == "segment"

    @property
    def converts_inputs(self) -> bool:
        """Whether in-situ arrays have DACs."""
        return self.in_situ and self.study.effects.with_dac

    @property
    def converts_currents(self) -> bool:
        """Whether in-situ arrays have ADCs."""
        return self.in_situ and self.study.effects.with_adc

    @property
    def has_dac(self) -> bool:
        return self.converts_inputs and self.study.dac.bits != "ideal"

    @property
    def has_adc(self) -> bool:
        return self.converts_currents and self.study.adc.bits != "ideal"

    @property
    def has_wires(self) -> bool:
        """Whether wires with resistance are solved."""
        wired = self.study.effects.with_wires and have_resistance(self.study.wires)
        return wired and (self.hardware != "digital" or self.segment)

    @property
    def programmed(self) -> bool:
        """Whether cells of the device are written."""
        return self.in_situ or self.segment

    @property
    def measured(self) -> bool:
        """Whether conductances come from files, and nothing is written."""
        weights = self.in_situ and self.step.kind is Kind.MATRIX
        return weights and self.study.mapping.conductances is not None

    def on(self, effect: str) -> bool:
        """Whether an effect of the study is on, by itself or with its group."""
        return effect in effects_on(self.study.effects)

    def table(self, effect: str) -> Any:
        """The table of the device behind an effect that is on, else None; of read noise its own."""
        file = self.device.file
        if not (self.programmed and self.on(effect)):
            return None
        if self.measured and effect not in OF_READS:
            return None
        if effect in (Effect.FLICKER, Effect.TELEGRAPH):
            return getattr(file.read_noise, effect, None)
        if effect == Effect.LEVELS:
            return file.conductance.levels_us or None
        return getattr(file, effect)

    def acts(self, switch: str) -> bool:
        """Whether `effects.without` this switch would be another step."""
        if switch == "wires":
            return self.has_wires
        if switch == "dac":
            return self.has_dac
        if switch == "adc":
            return self.has_adc or (self.counts and self.study.effects.with_adc)
        if switch == "converter_errors":
            return (self.has_adc and has_errors(self.study.adc)) or (
                self.has_dac and has_driver_errors(self.study.dac)
            )
        if self.counts and self.on(switch) and self._acts_on_resistors(switch):
            return True
        if switch == Effect.PROGRAMMING and self.programmed and self.on(switch):
            file = self.device.file
            return file.programming is not None or file.write_verify is not None
        return self.table(switch) is not None

    def _acts_on_resistors(self, switch: str) -> bool:
        """Whether computation crossbars have an effect."""
        computation = self.study.computation
        rates = {
            Effect.SPREAD: computation.resistor_spread,
            Effect.STUCK: computation.stuck_closed_rate + computation.stuck_open_rate,
            Effect.TELEGRAPH: computation.telegraph_amplitude,
        }
        return rates.get(Effect(switch), 0.0) > 0

    def function(self, name: str) -> FunctionTable | None:
        """The settings of a function of this name if the step is one and not left in float."""
        if self.step.kind is not FUNCTIONS[name]:
            return None
        settings: FunctionTable = getattr(self.study.functions, name)
        return None if settings.unit == "float" else settings
