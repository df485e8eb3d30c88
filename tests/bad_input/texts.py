"""Language tasks: texts, minimal pairs, choices."""

import json

from bad_input.attack import of_call, of_kinds

from xbarsim.tasks.language_files import load_language_task


def loaded(content, name="pairs.jsonl"):
    def load(place):
        path = place / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_language_task(path)

    return load


def line(**content):
    return loaded(json.dumps(content) + "\n")


ATTACKS = [
    *of_call(
        {
            "empty": (loaded("", "text.txt"), "the file is empty"),
            "not UTF-8": (loaded(b"a\n\xff\n", "text.txt"), "line 2: not UTF-8"),
            "another suffix": (loaded("a", "text.docx"), "allowed are"),
            "no suffix": (loaded("a", "text"), "allowed are"),
            "a table without its columns": (loaded("a\tb\n1\t2\n", "pairs.tsv"), "good and bad"),
            "a table without rows": (loaded("good\tbad\n", "pairs.tsv"), "below the header"),
            "a cell that is missing": (
                loaded("good\tbad\nx\n", "pairs.tsv"),
                "line 2: bad is null",
            ),
            "a quote left open": (loaded('good,bad\n"x,y\n', "pairs.csv"), "not a table"),
            "no JSON": (loaded("{"), "line 1: not JSON"),
            "a list": (loaded("[]"), "line 1: not a JSON object"),
            "lists in lists": (loaded("[" * 9000), "line 1: not JSON.*nested too deep"),
            "5000 digits": (loaded('{"gold": ' + "9" * 5000 + "}"), "line 1: not JSON.*4300"),
            "another form": (line(a=1), "none of the forms of a question"),
            "a number for a text": (line(good=1, bad="x"), "good is 1; a text is needed"),
            "no choices": (line(context="a", choices=[], gold=0), "two or more texts"),
            "choices of numbers": (line(context="a", choices=[1, 2], gold=0), "two or more texts"),
            "gold beyond": (line(context="a", choices=["b", "c"], gold=2), "allowed are 0 to 1"),
            "gold below": (line(context="a", choices=["b", "c"], gold=-1), "allowed are 0 to 1"),
            "gold of text": (
                line(context="a", choices=["b", "c"], gold="x"),
                "right choice is 'x'",
            ),
            "gold of a superscript": (
                line(context="a", choices=["b", "c"], gold="²"),
                "right choice is '²'",
            ),
            "ARC without its label": (
                line(question="a", choices={"text": ["b"], "label": ["A"]}, answerKey="B"),
                "answerKey 'B' is not among",
            ),
            "ARC of unequal lists": (
                line(
                    question="a",
                    choices={"text": ["b", "c"], "label": ["A", "B", "C"]},
                    answerKey="C",
                ),
                "allowed are 0 to 1",
            ),
            "ARC with a list for its key": (
                line(question="a", choices={"text": ["b", "c"], "label": [[1], [2]]}, answerKey={}),
                "answerKey",
            ),
            "WinoGrande without a blank": (
                line(sentence="a", option1="b", option2="c", answer="1"),
                "one blank",
            ),
            "WinoGrande with another answer": (
                line(sentence="a _ b", option1="b", option2="c", answer=[1]),
                "allowed are 1 and 2",
            ),
            "LAMBADA of one word": (line(text="word"), "one word; two are needed"),
            "half a character": (loaded('{"text": "a \\ud800 b"}'), "half a character"),
        }
    ),
    *of_kinds("text.txt", load_language_task),
]
