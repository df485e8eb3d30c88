"""An error budget as text: tables, and what they say in plain words."""

from collections.abc import Sequence

from xbarsim.report.budget import Cost, EffectCost, ErrorBudget, PlaceCost
from xbarsim.report.budget_outcomes import StepErrors
from xbarsim.report.metric_form import form_of

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

NAMES = {
    "wires": "IR drop",
    "dac": "DAC",
    "levels": "levels of the cells",
    "programming": "write error",
    "spread": "spread of cells",
    "relaxation": "relaxation",
    "drift": "drift",
    "read_disturb": "read disturb",
    "temperature": "temperature",
    "stuck": "stuck cells",
    "read_noise": "read noise",
    "flicker": "1/f noise",
    "telegraph": "telegraph noise",
    "adc": "ADC",
    "functions": "integer functions",
}
ADVICE = {
    "wires": 'mapping.compensation = "wires", smaller tiles or a wider wires.pitch',
    "dac": 'dac.scaling = "token", mapping.scale_shift or more dac.bits',
    "levels": "a device with more levels, or several cells for a weight (mapping.encoding = "
    '"slices")',
    "programming": 'mapping.compensation = "measured", several cells for a weight (mapping.encoding = '
    '"slices"), or a device that is written and verified more finely',
    "spread": "a device with write-verify",
    "relaxation": "a later device.time_s for calibration, or a device that relaxes less",
    "drift": 'correction.fitted_s with correction.rescaling = "global", an earlier device.time_s '
    "(cells written anew), or a device that drifts less",
    "read_disturb": "fewer device.reads between writes",
    "temperature": "a device.temperature_k nearer to the reference",
    "stuck": "a device with fewer stuck cells",
    "read_noise": "larger conductances, or a longer dac.read_time_ns where the device's noise depends on it",
    "flicker": "larger conductances, or a device with less 1/f noise",
    "telegraph": "a device with less telegraph noise",
    "adc": "more adc.bits, or fewer mapping.word_lines for a conversion",
    "functions": "more bits in [functions]",
}


def title_of(effect: str) -> str:
    """What a reader calls an effect."""
    return " + ".join(NAMES.get(part, part) for part in effect.split("+"))


class Form:
    """How costs are written: points of a metric times 100, nats of a token as they are."""

    def __init__(self, budget: ErrorBudget) -> None:
        form = form_of(budget.metric)
        self.scale = 100.0
        self.digits = 2
        self.unit = form.heading
        if budget.in_nats:
            self.scale = 1.0
            self.digits = 4
            self.unit = "mean loss of a token in nats (the logarithm of the perplexity)"

    def value(self, value: float) -> str:
        return f"{self._rounded(value):.{self.digits}f}"

    def signed(self, value: float) -> str:
        return f"{self._rounded(value):+.{self.digits}f}"

    def cost(self, cost: Cost) -> str:
        """Value and interval."""
        return f"{self.signed(cost.value)} ({self.value(cost.low)} .. {self.value(cost.high)})"

    def _rounded(self, value: float) -> float:
        """Never -0.0, which would print as "-0.00"."""
        return round(self.scale * value, self.digits) + 0.0


def heading(budget: ErrorBudget) -> list[str]:
    """What was evaluated, and what there is to share."""
    form = Form(budget)
    chips = "1 chip" if budget.chips == 1 else f"{budget.chips} chips"
    left_out = ""
    if budget.without:
        left_out = f", without {', '.join(budget.without)}"
    return [
        f"error budget of case {budget.case!r}{left_out}, study {budget.study!r}: {budget.model} on "
        f"{budget.task}, {budget.examples} examples, {chips}",
        f"{form.unit}: float32 {form.value(budget.float32)}, arrays without these effects "
        f"{form.value(budget.ideal)}, with all of them {form.value(budget.chip)}",
        f"lost to them: {form.cost(budget.total)}; to the arrays without them: {form.cost(budget.rest)}",
    ]


def effect_table(budget: ErrorBudget) -> Table:
    """Every effect, the dearest first, and their sum."""
    form = Form(budget)
    header = ("effect", "share (95 %)", "of the loss", "alone", "won without it")
    rows: list[tuple[str, ...]] = [
        (
            title_of(effect.name),
            form.cost(effect.share),
            _percent(effect.share.value, budget.total.value),
            form.cost(effect.alone),
            form.cost(effect.last),
        )
        for effect in budget.ordered()
    ]
    rows.append(("sum", form.signed(budget.total.value), "100 %", "", ""))
    return header, rows


def _percent(part: float, whole: float) -> str:
    if whole <= 0:
        return "-"
    return f"{round(100 * part / whole) + 0.0:.0f} %"


def how_shared(budget: ErrorBudget) -> list[str]:
    """How the shares were found, and how to read them."""
    count = len(budget.effects)
    found = (
        f"all {budget.evaluations} combinations of {count} effects were evaluated: shares are exact"
    )
    if budget.orders:
        found = (
            f"{budget.orders} sampled orders of {count} effects, {budget.evaluations} of "
            f"{2**count} combinations evaluated: the intervals say how far shares may be off"
        )
    return [
        found,
        "Effects that act together cost more, or less, than the sum of each alone. A share is the mean of "
        "what an effect adds, over all orders of adding them: interactions are divided, and the sum is the "
        "loss.",
        f"Intervals: {_sources(budget)}.",
    ]


def _sources(budget: ErrorBudget) -> str:
    sources = ["the sampled examples, paired"]
    if budget.chips > 1:
        sources.append(f"{budget.chips} chips")
    if budget.orders:
        sources.append("the sampled orders")
    text = ", ".join(sources)
    if budget.chips == 1:
        text += "; of this one chip (run.chips = 3 would say how chips differ)"
    return text


def place_table(budget: ErrorBudget) -> Table:
    """Every layer or role: what it costs by itself, and what is won without its errors."""
    form = Form(budget)
    header = ("where", "errors only there (95 %)", "won without errors there")
    rows: list[tuple[str, ...]] = [
        (place.name, form.cost(place.only), form.cost(place.last)) for place in budget.places
    ]
    return header, rows


def step_table(budget: ErrorBudget) -> Table:
    """Every layer: its errors for its own inputs, accumulated, and which effect makes them."""
    header = (
        "layer",
        "local SNR (dB)",
        "worst step",
        "accumulated (dB)",
        "most of it",
        "saturated",
    )
    layers: dict[int | None, list[StepErrors]] = {}
    for step in budget.steps:
        layers.setdefault(step.layer, []).append(step)
    rows: list[tuple[str, ...]] = []
    for layer, steps in layers.items():
        worst = min(steps, key=lambda step: step.local_snr_db)
        saturated = [step.adc_saturated for step in steps if step.adc_saturated is not None]
        rows.append(
            (
                "outside" if layer is None else str(layer),
                f"{worst.local_snr_db:.1f}",
                worst.name.rpartition(".")[2],
                f"{steps[-1].accumulated_snr_db:.1f}",
                _most(worst),
                f"{100 * max(saturated, default=0.0):.2f} %",
            )
        )
    return header, rows


def _most(step: StepErrors) -> str:
    """The effect with the largest part of a step's local errors."""
    if not step.shares:
        return "-"
    name = max(step.shares, key=lambda effect: step.shares[effect])
    return f"{title_of(name)} {100 * step.shares[name]:.0f} %"


# ---------------------------------------------------------------- in plain words


def verdict(budget: ErrorBudget) -> str:
    """Why the metric is low, where, and what to try."""
    form = Form(budget)
    total = budget.total
    sentences = []
    if total.low <= 0:
        sentences.append(
            f"These effects together cost {form.signed(total.value)}, which {budget.examples} examples on "
            f"{budget.chips} simulated chip(s) cannot tell from nothing: evaluate more before you "
            "change the hardware."
        )
    costly = [effect for effect in budget.ordered() if effect.share.value > 0]
    if not costly:
        return " ".join(sentences or ["No effect costs anything here."])
    first = costly[0]
    sentence = (
        f"The largest cost is {title_of(first.name)}: {form.signed(first.share.value)} of "
        f"{form.signed(total.value)}"
    )
    place = _dearest(budget)
    if place is not None:
        sentence += (
            f"; of all places {place.name} costs most ({form.signed(place.only.value)} with errors "
            "only there)"
        )
    local = _worst_step(budget.steps, first)
    if local is not None:
        sentence += f"; its own errors are largest in {local.name}"
    sentences.append(sentence + ".")
    close = [effect for effect in costly[1:] if effect.share.value > first.share.low]
    if close:
        names = ", ".join(title_of(effect.name) for effect in close)
        sentences.append(f"{names} may cost as much, by the intervals.")
    advice = _advice(first)
    if advice:
        sentences.append(f"Try {advice}; docs/adapt.md has what remedies reach.")
    return " ".join(sentences)


def _dearest(budget: ErrorBudget) -> PlaceCost | None:
    places = [place for place in budget.places if place.only.value > 0]
    return max(places, key=lambda place: place.only.value, default=None)


def _worst_step(steps: Sequence[StepErrors], effect: EffectCost) -> StepErrors | None:
    """The step with the most local noise by an effect."""
    known = [step for step in steps if step.shares.get(effect.name, 0.0) > 0]
    return max(
        known,
        key=lambda step: step.shares[effect.name] * 10 ** (-step.local_snr_db / 10),
        default=None,
    )


def _advice(effect: EffectCost) -> str:
    if effect.remedy:
        return f"the study without {effect.name}, which costs here more than it wins"
    return "; ".join(ADVICE[part] for part in effect.name.split("+"))
