"""What the tables `mapping`, `dac` and `adc` of a study cannot say together."""

from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Adc, Dac, Effects, Mapping


def check_arrays(mapping: Mapping, dac: Dac, adc: Adc, effects: Effects, where: str) -> None:
    """Refuse keys of mapping and converters that do not go together.

    Raises
    ------
    ConfigError
    """
    if mapping.sign == "offset" and mapping.encoding not in ("slices", "binary"):
        raise ConfigError(
            f'{where}: mapping.sign = "offset" needs mapping.encoding = "slices" or "binary"'
        )
    _check_cells(mapping, where)
    _check_signs(mapping, where)
    _check_input_lines(mapping, dac, where)
    if dac.encoding == "bit_serial" and dac.bits == "ideal":
        raise ConfigError(
            f'{where}: dac.encoding = "bit_serial" needs a number of dac.bits, not "ideal"'
        )
    if dac.encoding == "bit_serial" and dac.bits == 1:
        raise ConfigError(
            f"{where}: dac.bits = 1 is a sign without a digit for dac.encoding = "
            '"bit_serial"; allowed: 2 or more bits, or another encoding'
        )
    counts_units = mapping.encoding != "amplitude" and dac.encoding == "bit_serial"
    if adc.range == "unit" and not counts_units:
        raise ConfigError(
            f'{where}: adc.range = "unit" counts unit currents, which only mapping.encoding = '
            '"slices", "binary" or "ternary" with dac.encoding = "bit_serial" has'
        )
    if adc.range == "unit" and effects.with_adc and not effects.with_dac:
        raise ConfigError(
            f'{where}: adc.range = "unit" counts the currents of digits, which effects.without = '
            '["dac"] takes away; leave out "adc" too, or choose another adc.range'
        )
    if adc.range == "unit" and mapping.compensation != "none":
        raise ConfigError(
            f'{where}: adc.range = "unit" counts unit currents, which mapping.compensation = '
            f'"{mapping.compensation}" scales per output; allowed: another adc.range, or '
            'mapping.compensation = "none"'
        )


def _check_cells(mapping: Mapping, where: str) -> None:
    """Refuse what binary cells in parallel, and stuck cells that are known, do not go with."""
    if mapping.crosspoint == "weighted":
        if mapping.encoding != "slices":
            raise ConfigError(
                f'{where}: mapping.crosspoint = "weighted" holds digits; allowed with '
                'mapping.encoding = "slices"'
            )
        if mapping.compensation != "none" or mapping.conductances is not None:
            raise ConfigError(
                f'{where}: mapping.crosspoint = "weighted" is of cells that are on or off, which '
                "mapping.compensation and mapping.conductances set in between; remove one of them"
            )
    follows_defects = mapping.column_order in ("defects", "assigned")
    if follows_defects and mapping.conductances is not None:
        raise ConfigError(
            f'{where}: mapping.column_order = "{mapping.column_order}" follows the stuck cells of the device, and '
            "mapping.conductances names measured ones; remove one of them"
        )


def _check_signs(mapping: Mapping, where: str) -> None:
    """Refuse what cells of binary and ternary weights, which are on or off, do not go with."""
    if mapping.encoding in ("binary", "ternary") and mapping.compensation != "none":
        raise ConfigError(
            f'{where}: mapping.encoding = "{mapping.encoding}" is of cells that are on or off, which '
            "mapping.compensation sets in between; remove one of them"
        )


def _check_input_lines(mapping: Mapping, dac: Dac, where: str) -> None:
    """Refuse what does not go with two word lines for every input."""
    if mapping.array == "single":
        return
    stated = f'{where}: mapping.array = "{mapping.array}"'
    if mapping.encoding != "binary" or mapping.sign != "offset":
        raise ConfigError(
            f'{stated} is of weights in one binary cell a line; allowed with mapping.encoding = "binary" '
            'and sign = "offset"'
        )
    if mapping.conductances is not None:
        raise ConfigError(
            f"{stated} has no place in the files of mapping.conductances; remove one of them"
        )
    if mapping.column_order == "assigned":
        raise ConfigError(
            f'{stated} does not go with mapping.column_order = "assigned", which knows one line an input; '
            'allowed: "none", "magnitude" or "defects"'
        )
    if dac.scaling != "static" or mapping.scale_shift:
        raise ConfigError(
            f"{stated} complements inputs within one full scale; allowed: dac.scaling = "
            '"static" and mapping.scale_shift = 0'
        )
    if dac.bits == 1:
        raise ConfigError(
            f"{stated} drives lines that are never negative, and dac.bits = 1 is a sign; allowed: 2 "
            "or more, of which 2 have the codes 0 and 1"
        )
