"""Text that a decoder writes: in float32, or on a simulated chip."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xbarsim.base.arguments import shown, text_of, whole_number
from xbarsim.base.array_types import Integers, Singles
from xbarsim.base.errors import ConfigError, TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.base.workers import worker_threads
from xbarsim.config.study import Study
from xbarsim.devices.presets import load_device
from xbarsim.hardware import idle
from xbarsim.hardware.build import Design, build_chip, settings_of
from xbarsim.hardware.hook import HardwareHook
from xbarsim.models.architectures import LoadedDecoder
from xbarsim.models.attention import Cache
from xbarsim.models.network import Decoder
from xbarsim.models.operations import Hook, float32
from xbarsim.studies.examples import Examples
from xbarsim.studies.held_out import CALIBRATION_TOKENS, held_out
from xbarsim.studies.prepare_language import load_text_or_questions
from xbarsim.tasks.language_files import Text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOWS_AT_ONCE = 4  # calibration windows in memory together


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    temperature : 0 takes the likeliest token, else tokens are drawn with logits / temperature
    seed : of the draws
    """

    temperature: float = 0.0
    seed: int = 0


def generate(
    model: Decoder,
    tokenizer: "Tokenizer",
    prompt: str,
    *,
    tokens: int = 40,
    sampling: Sampling = Sampling(),
    hook: Hook = float32,
    every: Callable[[str], object] | None = None,
) -> str:
    """Continue a prompt, token by token, with a key-value cache.

    Parameters
    ----------
    model, tokenizer : of `load_network`
    prompt : what is gone on with
    sampling : `temperature` 0 takes the likeliest token, above it tokens are drawn by `seed`
    tokens : at most so many new ones; it ends earlier at a token that ends a text
    hook : what the steps are, see `operations`; on a chip a `HardwareHook`
    every : function (text so far), called after every token

    Returns
    -------
    str, the continuation

    Raises
    ------
    TaskError : a prompt without tokens, or longer with its continuation than the model's context
    """
    if not hasattr(model, "config") or not hasattr(tokenizer, "encode"):
        raise ConfigError(
            f"model is {shown(model)}, tokenizer {shown(tokenizer)}; allowed: the model of load_network, "
            "and its tokenizer"
        )
    text_of("prompt", prompt)
    whole_number("tokens", tokens, 1)
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    if not ids:
        raise TaskError("the prompt has no tokens; write a word at least")
    if len(ids) + tokens > model.config.max_tokens:
        raise TaskError(
            f"the prompt has {len(ids)} tokens, {tokens} more are asked for; the model's context is "
            f"{model.config.max_tokens}"
        )
    rng = np.random.default_rng(sampling.seed)
    cache = Cache()
    new = np.array([ids])
    made: list[int] = []
    while len(made) < tokens:
        states = model.forward(new, np.ones(new.shape, bool), hook, cache)
        rows = np.array([[0, cache.length - 1]])
        scores = model.logits(states[0, -1:], rows, hook)[0]
        token = next_token(scores, sampling.temperature, rng)
        if token in model.config.ends:
            break
        made.append(token)
        new = np.array([[token]])
        if every is not None:
            every(tokenizer.decode(made))
    text: str = tokenizer.decode(made)
    return text


def next_token(scores: Singles, temperature: float, rng: np.random.Generator) -> int:
    """A token by its logits (v,)."""
    if temperature == 0:
        return int(scores.argmax())
    scaled = scores.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    return int(rng.choice(len(weights), p=weights / weights.sum()))


# ---------------------------------------------------------------- on a chip


def chip_that_generates(
    network: LoadedDecoder,
    study: Study,
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> HardwareHook:
    """The first chip of a case of a study, for one sequence whose cells are kept.

    Its ranges come from the text of `task.calibration`, or of `task.name` where that is absent.

    Raises
    ------
    ConfigError : a study that names no text for them; what a chip of it cannot be
    """
    device = load_device(study.device.name)
    graph = network.model.graph
    places = idle.places(settings_of(study, graph), device, graph)
    idle.refuse(idle.CasePlaces(study.name, study, places))
    tokens = calibration_windows(network, study, progress)
    with worker_threads(threads) as pool:
        found = held_out(network.model, Examples(tokens), WINDOWS_AT_ONCE, pool, threads=threads)
        design = Design.of(network.model, study, device, found)
        chip = build_chip(design, study.seed, pool, progress=progress)
    return HardwareHook(chip, keeps_cells=True)


def calibration_windows(
    network: LoadedDecoder, study: Study, progress: Progress = silent
) -> list[Integers]:
    """Windows of `model.max_length` tokens, evenly spread over the calibration text: at most
    `task.calibration_examples`, and as many as the ranges need.

    Raises
    ------
    ConfigError : no text, or one of less than two tokens
    """
    name = study.task.calibration or study.task.name
    remedy = (
        "converter ranges of a chip come from a text; set [task] calibration to a text file (.txt) "
        "or the name of a task"
    )
    try:
        text = load_text_or_questions(name, progress)
    except TaskError as error:
        raise ConfigError(f"{error}: {remedy}") from None
    if not isinstance(text, Text):
        raise ConfigError(f"{name} is no text: {remedy}")
    encoded = network.tokenizer.encode(text.text, add_special_tokens=False).ids
    ids = np.array(encoded, np.int64)
    if len(ids) < 2:
        raise ConfigError(f"{name} has {len(ids)} tokens, two or more are needed: {remedy}")
    length = min(study.model.max_length, network.model.config.max_tokens, len(ids))
    wanted = min(study.task.calibration_examples, -(-CALIBRATION_TOKENS // length))
    there = len(ids) // length
    count = min(wanted, there)
    starts = [k * there // count * length for k in range(count)]
    return [ids[start : start + length] for start in starts]
