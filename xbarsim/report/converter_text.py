"""Converters that are not ideal, and scales that follow drift, in the report of a case."""

import tomllib
from collections.abc import Sequence
from typing import Any

from xbarsim.base.units import engineering
from xbarsim.report.steps import MatrixSummary

ADC = {
    "full_scale_ua": "full scale {:g} µA",
    "noise_ua": "noise {:g} µA",
    "noise_lsb": "noise {:g} LSB",
    "offset_lsb": "offsets of {:g} LSB",
    "gain_error": "gain errors of {:.3g}",
    "element_spread": "elements that vary by {:.3g}",
    "shared_by": "one for {} bit lines",
}
DAC = {"full_scale_v": "full scale {:g} V", "noise_mv": "noise {:g} mV"}


def converter_lines(study: str, layers: Sequence[MatrixSummary]) -> list[str]:
    """What a study (TOML) states of its converters, and how many conversions saturated; nothing of
    ideal ones.

    Keys are those of the study itself; `[[layer]]` tables may say more.
    """
    tables = tomllib.loads(study)
    adc = tables.get("adc", {})
    stated = _stated(adc, ADC)
    if adc.get("element_spread") and adc.get("steps", "ideal") != "ideal":
        stated.append(f"steps {adc['steps']}")
    if "inl_lsb" in adc:
        stated.append("a table of INL")
    lines = []
    counts = [layer.converters for layer in layers if layer.converters is not None]
    if stated or counts:
        lines.append("ADC    " + ", ".join([*stated, _counted(layers)]))
    drivers = _stated(tables.get("dac", {}), DAC)
    if "inl_lsb" in tables.get("dac", {}):
        drivers.append("a table of INL")
    if drivers:
        lines.append("DAC    " + ", ".join(drivers))
    return lines


def drift_lines(layers: Sequence[MatrixSummary]) -> list[str]:
    """The scales that follow drift, and what their reference costs each time."""
    scales = [layer.drift_scales for layer in layers if layer.drift_scales is not None]
    if not scales:
        return []
    means = [each.mean for each in scales]
    reads = sum(each.tile_reads for each in scales)
    conversions = sum(each.conversions for each in scales)
    joules = engineering(sum(each.joules for each in scales), "J")
    return [
        f"drift  scales of matrices {min(means):.4g} to {max(means):.4g}; each reading of their "
        f"reference takes {reads:,} tile reads and {conversions:,} conversions, {joules}"
    ]


def _stated(table: dict[str, Any], texts: dict[str, str]) -> list[str]:
    """The texts of keys that are neither absent nor 0, nor one for one."""
    found = {key: table[key] for key in texts if table.get(key)}
    if found.get("shared_by") == 1:
        del found["shared_by"]
    return [texts[key].format(value) for key, value in found.items()]


def _counted(layers: Sequence[MatrixSummary]) -> str:
    conversions = sum(layer.adc_conversions for layer in layers)
    saturations = sum(layer.adc_saturations for layer in layers)
    text = f"{saturations:,.0f} of {conversions:,} conversions saturated"
    counts = [layer.converters for layer in layers if layer.converters is not None]
    if not counts:
        return text
    converters = sum(count.converters for count in counts)
    missing = sum(count.missing_codes for count in counts)
    text += f"; {converters:,} converters"
    if missing:
        text += f" that never give {missing / converters:.1f} of their codes on average"
    return text
