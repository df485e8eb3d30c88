"""Chip files: `xbarsim.load_chip`, and `xbarsim.compare` of them."""

import re

from bad_input.attack import of_call, of_kinds

from xbarsim import compare, load_chip
from xbarsim.chips.load import chip_text

WHOLE = chip_text("differential")
KIND = re.search(r"^kind = .*$", WHOLE, flags=re.M)[0]


def loaded(text):
    def load(place):
        path = place / "chip.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_chip(path)

    return load


def with_key(pattern, value):
    text, count = re.subn(rf"^{pattern} = .*$", f"{pattern} = {value}", WHOLE, count=1, flags=re.M)
    assert count
    return loaded(text)


def of_config(text):
    """A comparison of a directory whose config.json is `text`."""

    def run(place):
        (place / "config.json").write_text(text)
        return compare("differential", model=str(place))

    return run


ATTACKS = [
    *of_call(
        {
            "empty": (loaded(""), "kind"),
            "not TOML": (loaded("= 3"), "not a TOML file"),
            "not UTF-8": (loaded(b"\x80"), "not UTF-8"),
            "too large": (loaded("#" * 2_000_001), "allowed: at most 2,000,000"),
            "an unknown kind": (loaded(WHOLE.replace(KIND, 'kind = "magic"')), "magic"),
            "a kind of another type": (loaded(WHOLE.replace(KIND, "kind = [1]")), "kind"),
            "an unknown key": (loaded("nothing = 1\n" + WHOLE), "unknown key 'in-situ.nothing'"),
            "no lines": (with_key("word_lines", "0"), "word_lines = 0"),
            "lines of text": (with_key("word_lines", '"x"'), "word_lines = 'x'"),
            "lines of NaN": (with_key("word_lines", "nan"), "word_lines = nan"),
            "lines of 5000 digits": (with_key("word_lines", "9" * 5000), "4300"),
            "negative lines": (with_key("bit_lines_per_adc", "-4"), "bit_lines_per_adc = -4"),
            "lists in lists": (loaded("a = " + "[" * 3000 + "]" * 3000), "nested too deep"),
            "None": (lambda place: load_chip(None), "chip is None; allowed: a path"),
            "a number": (lambda place: load_chip(7), "chip is 7; allowed: a path"),
            "bytes": (lambda place: load_chip(b"x"), "chip is b'x'; allowed: a path"),
            "a NUL": (lambda place: load_chip("a\0b"), "path without NUL"),
            "an unknown name": (lambda place: load_chip("nothing"), "no chip 'nothing'"),
            "an unknown model": (
                lambda place: compare("differential", model="nothing"),
                "no model 'nothing'",
            ),
            "a config that is a list": (of_config("[]"), "not a JSON object"),
            "a config that is no JSON": (of_config("{"), "does not state the dimensions"),
            "a config of lists in lists": (of_config("[" * 9000), "nested too deep"),
            "a config with text for layers": (
                of_config(
                    '{"num_hidden_layers": "x", "hidden_size": 8, "num_attention_heads": 2, '
                    '"intermediate_size": 16}'
                ),
                "layers = 'x'",
            ),
            "a config of 10^9 layers": (
                of_config(
                    '{"num_hidden_layers": 1000000000, "hidden_size": 8, '
                    '"num_attention_heads": 2, "intermediate_size": 16}'
                ),
                "layers = 1000000000.*less than or equal to 10000",
            ),
        }
    ),
    *of_kinds("chip.toml", load_chip),
]
