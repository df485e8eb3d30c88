"""Accuracy of an encoder against wire resistance: accuracy_against_wires.py [MODEL TASK [SENTENCES]]

Programming errors and converters are left out: what is lost is lost in the wires.  A minute or two
for the model and task that are fetched when none is named.
"""

import sys

import xbarsim

given = sys.argv[1:] or ["all-MiniLM-L6-v2", "vader-movie"]
model, task = given[:2]
sentences = int(given[2]) if len(given) > 2 else 50

only_wires = {"wires": True, "programming": False, "converters": False, "read_noise": False}
cases = []
for ohm in (1.0, 10.0, 100.0):
    wires = {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm}
    cases.append({"name": f"{ohm:g} ohm", "wires": wires, "effects": only_wires})

changes = {
    "name": "accuracy-against-wires",
    "model": {"name": model},
    "task": {"name": task, "limit": sentences},
    "case": cases,
}
path = xbarsim.run_study(xbarsim.load_study("default", changes), "runs")
summary = xbarsim.summarise(xbarsim.read_trace(path))
for found in (*summary.references, *summary.cases):
    metric = found.metric
    print(f"{found.name}: {metric.value:.6f} ({metric.low:.4f} .. {metric.high:.4f})")
