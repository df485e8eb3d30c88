"""Values on the command line."""

from bad_input.attack import Attack

WORDS = {
    "an unknown command": (("magic",), "[Nn]o such command.*magic"),
    "an unknown option": (("run", "--magic"), "[Nn]o such option.*magic"),
    "threads of text": (("run", "--threads", "x"), "valid integer"),
    "no threads": (("run", "--threads", "0"), "greater than or equal to"),
    "a negative limit": (("run", "--limit", "-3"), "greater than or equal to"),
    "a seed of text": (("run", "--seed", "x"), "valid integer"),
    "a seed of 2^64": (
        ("run", "--seed", str(2**64)),
        r"seed.*less than or equal|greater than or equal to",
    ),
    "a negative seed": (("run", "--seed", "-1"), "greater than or equal to|greater than or equal"),
    "a seed of 5000 digits": (("run", "--seed", "9" * 5000), "integer|4300"),
    "an unknown device": (("run", "--device", "unobtainium"), "no device 'unobtainium'"),
    "an unknown model": (("run", "--model", "gpt5"), "gpt5"),
    "an unknown task": (("run", "--task", "nothing.tsv"), "nothing.tsv"),
    "an escape sequence for a model": (("run", "--model", "\x1b[2J"), r"x1b\[2J"),
    "an escape sequence for a report": (("report", "\x1b]0;x\x07.h5"), r"x1b\]0;x"),
    "no report": (("report",), "[Mm]issing argument"),
    "a report of a directory": (("report", "."), "is a directory without parts of a trace"),
    "a report of a name without an end": (("report", "x" * 5000), "no trace at"),
    "a study that is none": (("study", "magic"), "no study 'magic'"),
    "a device that is none": (("devices", "show", "magic"), "no device 'magic'"),
    "a chip that is none": (("chip", "show", "magic"), "no chip 'magic'"),
    "a sequence of text": (("chip", "compare", "differential", "--sequence", "x"), "valid integer"),
    "a batch of none": (
        ("chip", "compare", "differential", "--batch", "0"),
        "greater than or equal to",
    ),
    "a fetch of nothing": (("fetch", "magic"), "'magic' is not a known model or task"),
    "a fetch of half a character": (("fetch", "\ud800"), "half a character"),
    "a chip beyond": (
        ("export", "default", "--conductances", "x", "--chip", "0"),
        "greater than or equal to",
    ),
    "another form": (("export", "default", "--conductances", "x", "--format", "xml"), "xml"),
    "a memory that is none": (("memory", "magic"), "magic"),
    "a sweep that is none": (("sweep", "magic"), "magic"),
    "a budget that is none": (("budget", "magic"), "magic"),
}


def of_words(words):
    return lambda place: list(words)


ATTACKS = [Attack(name, of_words(words), message) for name, (words, message) in WORDS.items()]
