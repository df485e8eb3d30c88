"""Keys of `[training]` that the method of a study does not ask for."""

from xbarsim.base.table_keys import stated_keys
from xbarsim.config.image_training import Method, Pulses, Rule
from xbarsim.config.training import Training

OF_IMAGES = ("images", "pulses", "defects")
OF_EVERY_METHOD = ("method", "examples")
OF_CHIPS = (
    "clip_deviations",
    "drop_connect",
    "learn_ranges",
    "range_learning_rate",
    "redraw",
    "wires_every",
)


def idle_training_keys(training: Training) -> list[str]:
    """Sentences on keys that a training states and that its method does not ask for."""
    sentences = []
    for path, value in stated_keys(training.model_dump(exclude_unset=True, mode="json")).items():
        needs = _needs(training, path)
        if needs:
            sentences.append(f"training.{path} = {value!r} has no effect: it needs {needs}")
    return sentences


def _needs(training: Training, path: str) -> str:
    """What a key needs to have an effect and does not have, "" of one that has it."""
    table, _, key = path.partition(".")
    method = training.method
    if table in OF_EVERY_METHOD:
        return ""
    if table not in OF_IMAGES:
        if method is not Method.FINE_TUNING:
            return 'training.method = "fine-tuning"'
        return _needs_of_fine_tuning(training, path)
    if table == "images" and method is Method.FINE_TUNING:
        return "another training.method, of a network of images"
    if table == "pulses" and method is not Method.IN_SITU:
        return 'training.method = "in-situ"'
    if table == "defects" and method is not Method.DEFECT_AWARE:
        return 'training.method = "defect-aware"'
    if path == "images.pooling" and training.images.hidden is None:
        return "training.images.hidden"
    if table == "pulses":
        return _needs_of_pulses(training.pulses, key)
    if path == "defects.synapse_aware_columns" and training.defects.aware in ("neuron", "none"):
        return 'training.defects.aware = "mixed" or "synapse"'
    return ""


def _needs_of_fine_tuning(training: Training, key: str) -> str:
    if key in OF_CHIPS and not training.hardware_aware:
        return "training.hardware_aware = true"
    if key == "range_learning_rate" and not training.learn_ranges:
        return "training.learn_ranges = true"
    if key == "lora_alpha" and training.lora_rank is None:
        return "training.lora_rank"
    if key == "window" and training.text is None:
        return "training.text, of a decoder"
    return ""


def _needs_of_pulses(pulses: Pulses, key: str) -> str:
    if key == "train" and pulses.rule is not Rule.OUTER_PRODUCT:
        return 'training.pulses.rule = "outer_product"'
    if key == "least" and pulses.rule is not Rule.MANHATTAN:
        return 'training.pulses.rule = "manhattan"'
    if key == "most" and pulses.rule is Rule.MANHATTAN:
        return "a training.pulses.rule with more than one pulse of a cell"
    if key.startswith("heat.") and key != "heat.gain" and not pulses.heat.gain:
        return "a training.pulses.heat.gain other than 0"
    divider = pulses.divider
    if key in ("divider.voltage_v", "divider.slope_v") and not divider.up_ohm + divider.down_ohm:
        return "a resistor of training.pulses.divider"
    return ""
