"""Task files of labelled sentences and pairs: `xbarsim.tasks.files.load_task`."""

from bad_input.attack import of_call, of_kinds

from xbarsim.tasks.files import load_task


def loaded(content, name="task.tsv"):
    def load(place):
        path = place / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_task(path)

    return load


HEAD = "sentence\tlabel\n"
ATTACKS = [
    *of_call(
        {
            "empty": (loaded(""), "the file is empty"),
            "blank": (loaded("\n \n"), "the file is empty"),
            "not UTF-8": (loaded(b"a\t1\n\xff\t0\n"), "line 2: not UTF-8"),
            "one example": (loaded(HEAD + "a\t1\n"), "1 examples; at least two"),
            "a header alone": (loaded(HEAD), "at least two"),
            "one class": (loaded(HEAD + "a\t1\nb\t1\n"), "at least two classes"),
            "one column": (loaded("a\nb\n"), "column"),
            "a line cut": (loaded(HEAD + "a\t1\nb\n"), "line 3"),
            "a line with more": (loaded(HEAD + "a\t1\nb\t0\t7\n"), "line 3"),
            "an empty sentence": (loaded(HEAD + "\t1\nb\t0\n"), "line 2"),
            "labels with a point": (loaded(HEAD + "a\t1.5\nb\t0\n"), "no classes"),
            "a number written two ways": (loaded(HEAD + "a\t1\nb\t1.0\nc\t2\n"), "same number"),
            "a score of NaN": (loaded("a\tb\tnan\nc\td\t1\n"), "line 1.*nan"),
            "an infinite score": (loaded("a\tb\tinf\nc\td\t1\n"), "line 1.*inf"),
            "a score of text": (loaded("sentence1\tsentence2\tscore\na\tb\tx\nc\td\t1\n"), "x"),
            "one score": (loaded("a\tb\t1\nc\td\t1\n"), "every pair has the score 1"),
            "another split": (
                loaded("sentence\tlabel\tsplit\na\t1\tdev\nb\t0\ttest\n"),
                "split is .dev.; allowed are train and test",
            ),
            "a column twice": (loaded("sentence\tlabel\tlabel\na\t1\t1\n"), "twice|more than once"),
            "a quote left open": (loaded('sentence,label\n"a,1\n', "task.csv"), "not CSV"),
            "no JSON": (loaded("{\n", "task.jsonl"), "line 1: not JSON"),
            "JSON that is no object": (loaded("[1]\n", "task.jsonl"), "not a JSON object"),
            "a key twice": (
                loaded('{"sentence": "a", "sentence": "b", "label": 1}\n', "task.jsonl"),
                "the key 'sentence' stands twice",
            ),
            "NaN in JSON": (loaded('{"sentence": "a", "label": NaN}\n', "task.jsonl"), "NaN"),
            "lists in lists": (loaded("[" * 9000 + "\n", "task.jsonl"), "line 1: not JSON"),
            "5000 digits": (
                loaded('{"sentence": "a", "label": ' + "9" * 5000 + "}\n", "task.jsonl"),
                "line 1: not JSON.*4300",
            ),
            "half a character": (
                loaded(
                    '{"sentence": "\\ud800", "label": 1}\n{"sentence": "b", "label": 0}\n',
                    "task.jsonl",
                ),
                "half a character",
            ),
            "half a character in a label": (
                loaded(
                    '{"sentence": "a", "label": "\\ud800"}\n{"sentence": "b", "label": "c"}\n',
                    "task.jsonl",
                ),
                "half a character",
            ),
            "a list for a sentence": (
                loaded(
                    '{"sentence": [1], "label": 1}\n{"sentence": "b", "label": 0}\n', "task.jsonl"
                ),
                r"line 1: .*\[1\]",
            ),
            "None": (lambda place: load_task(None), "task is None; allowed: a path"),
            "a NUL": (lambda place: load_task("a\0b"), "path without NUL"),
            "an unknown name": (lambda place: load_task("nothing.tsv"), "nothing.tsv"),
            "images cut": (loaded(b"\x93NUMPY\x01\0", "images.npz"), "images.npz|column|UTF-8"),
        }
    ),
    *of_kinds("task.tsv", load_task),
]
