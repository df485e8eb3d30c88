"""Studies: `xbarsim run FILE`."""

from bad_input.attack import Attack, of_kinds, of_text

RUN = ["run", "FILE"]
DEEP = 3000
TEXTS = {
    "not TOML": ("name = ", "not a TOML file"),
    "an unknown table": ("[mappping]\nword_lines = 4\n", "unknown key.*did you mean 'mapping'"),
    "an unknown key": ("[mapping]\nword_linse = 4\n", "did you mean .*word_lines"),
    "a key twice": ('name = "a"\nname = "b"\n', "not a TOML file"),
    "text for a number": ('[mapping]\nword_lines = "4"\n', "word_lines = '4'"),
    "true for a number": ("[mapping]\nword_lines = true\n", "word_lines = True"),
    "a float for a whole number": ("[mapping]\nword_lines = 4.5\n", r"word_lines = 4\.5"),
    "no lines": ("[mapping]\nword_lines = 0\n", "greater than or equal to 1"),
    "NaN": ("[wires]\nword_line_resistance_ohm = nan\n", "word_line_resistance_ohm = nan"),
    "infinity": ("[wires]\nword_line_resistance_ohm = inf\n", "word_line_resistance_ohm = inf"),
    "a negative resistance": (
        "[wires]\nword_line_resistance_ohm = -1.0\n",
        "greater than or equal",
    ),
    "a number of 5000 digits": (f"seed = {'9' * 5000}\n", "not a TOML file.*4300"),
    "a seed of 2^64": (f"seed = {2**64}\n", "seed = 18446744073709551616.*less than or equal"),
    "a seed of 2^63": (f"seed = {2**63}\n", "seed.*less than or equal to 9223372036854775807"),
    "a negative seed": ("seed = -1\n", "seed = -1.*greater than or equal to 0"),
    "lists in lists": (f"name = {'[' * DEEP}{']' * DEEP}\n", "nested too deep"),
    "tables in tables": ("a = " + "{a = " * 60 + "1" + "}" * 60, "nested more than 32 deep"),
    "a key of 100 parts": (".".join("a" * 100) + " = 1\n", "a key of more than 32 parts"),
    "a key of 200,000 parts": (".".join("a" * 200_000) + " = 1\n", "more than 32 parts"),
    "too large": ("# " + "x" * 2_100_000, "2,100,002 bytes; allowed: at most 2,000,000"),
    "not UTF-8": (b'name = "\xff"\n', "not UTF-8"),
    "UTF-16": ('name = "a"'.encode("utf-16"), "not UTF-8|not a TOML file"),
    "a NUL": (b'name = "a\0b"\n', "not a TOML file"),
    "an escape sequence in the name": ('name = "a\\u001b[2Jb"\n', "no control characters"),
    "a line feed in the name": ('name = "a\\nb"\n', "no control characters"),
    "an escape sequence in a case": (
        '[[case]]\nname = "\\u001b[31mred"\n',
        r"case name '\\\\?x1b\[31mred' must be .* without control characters",
    ),
    "a NUL in a case": ('[[case]]\nname = "a\\u0000"\n', "without control characters"),
    "a case of a long name": (f'[[case]]\nname = "{"x" * 300}"\n', "at most 200 characters"),
    "a case with a slash": ('[[case]]\nname = "../x"\n', "without '/'"),
    "a case whose name is a number": ("[[case]]\nname = 3\n", "case name 3 must be a string"),
    "two cases of one name": ('[[case]]\nname = "a"\n[[case]]\nname = "a"\n', "same name"),
    "a case like none": ('[[case]]\nname = "a"\nlike = "b"\n', "is like 'b'"),
    "a case with another model": ('[[case]]\nmodel = {name = "x"}\n', "overrides model"),
    "a device that is not there": ('[device]\nname = "nothing"\n', "no device 'nothing'"),
    "a chip that is not there": ('chip = "nothing"\n', "no chip 'nothing'"),
    "a layer with a wrong key": ('[[layer]]\nmatch = "*"\n[layer.adc]\nbitz = 3\n', "bitz"),
    "an empty sweep": ("[sweep]\n", "sweep"),
    "a limit of one": ("[task]\nlimit = 1\n", "task.limit = 1.*greater than or equal to 2"),
    "a thousand and one chips": ("[run]\nchips = 1001\n", "less than or equal to 1000"),
    "a list for a table": ("mapping = [1, 2]\n", "mapping = .*valid dictionary"),
    "a date for a text": ("name = 2020-01-01\n", "name = .*valid string"),
}
ATTACKS = [
    *of_text("study.toml", RUN, TEXTS),
    *of_kinds("study.toml", RUN),
    Attack("a name without an end", lambda place: ["run", "x" * 5000], "no study"),
    Attack("an escape sequence", lambda place: ["run", "\x1b[2J"], r"no study '\\\\?x1b\[2J'"),
    Attack("a file that is not there", lambda place: ["run", place / "no.toml"], "no study"),
]
