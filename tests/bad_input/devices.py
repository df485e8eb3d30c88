"""Device files: `xbarsim devices show FILE` parses nothing, `xbarsim.load_device` all."""

from bad_input.attack import of_call, of_kinds

from xbarsim import load_device
from xbarsim.devices.presets import device_text

WHOLE = device_text("prime")
CONDUCTANCE = next(line for line in WHOLE.splitlines() if line.startswith("maximum_"))
DESCRIPTION = next(line for line in WHOLE.splitlines() if line.startswith("description"))


def loaded(text):
    def load(place):
        path = place / "device.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_device(path)

    return load


def with_line(line):
    return loaded(WHOLE.replace(CONDUCTANCE, line))


def given(value):
    return lambda place: load_device(value)


KEY = CONDUCTANCE.partition("=")[0].strip()
ATTACKS = [
    *of_call(
        {
            "empty": (loaded(""), "field required"),
            "not TOML": (loaded("["), "not a TOML file"),
            "not UTF-8": (loaded(b"\xff\xfe"), "not UTF-8"),
            "too large": (loaded("#" * 2_000_001), "allowed: at most 2,000,000"),
            "an unknown table": (loaded(WHOLE + "\n[nothing]\na = 1\n"), "unknown key 'nothing'"),
            "no largest conductance": (with_line(""), "field required"),
            "a negative conductance": (with_line(f"{KEY} = -1.0"), f"{KEY} = -1.0"),
            "a conductance of NaN": (with_line(f"{KEY} = nan"), f"{KEY} = nan"),
            "an infinite conductance": (with_line(f"{KEY} = inf"), f"{KEY} = inf"),
            "a conductance of text": (with_line(f'{KEY} = "1"'), f"{KEY} = '1'"),
            "true for a conductance": (with_line(f"{KEY} = true"), f"{KEY} = True"),
            "a list for a conductance": (with_line(f"{KEY} = [1.0]"), KEY),
            "a conductance of 5000 digits": (with_line(f"{KEY} = {'9' * 5000}"), "4300"),
            "a conductance of 400 digits": (with_line(f"{KEY} = {'9' * 400}"), KEY),
            "a number for a text": (
                loaded(WHOLE.replace(DESCRIPTION, "description = 3")),
                "description = 3",
            ),
            "lists in lists": (loaded("a = " + "[" * 3000 + "]" * 3000), "nested too deep"),
            "None": (given(None), "device is None; allowed: a path"),
            "a list": (given(["pcm"]), r"device is \['pcm'\]; allowed: a path"),
            "a number": (given(3), "device is 3; allowed: a path"),
            "bytes": (given(b"pcm"), "device is b'pcm'; allowed: a path"),
            "a NUL": (given("pcm\0"), "path without NUL"),
            "half a character": (given("\ud800"), "no device"),
            "a long name": (given("x" * 9000), "no device"),
            "an unknown name": (given("unobtainium"), "no device 'unobtainium'"),
        }
    ),
    *of_kinds("device.toml", load_device),
]
