"""What claims a lot costs little: time and memory of hostile files, in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path

MOST_BYTES = 200_000_000
MOST_S = 10.0
CHILD = """
import json, sys, time, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bad_input import calibrations, checkpoints, circuits, studies, tasks
from xbarsim.base.errors import XbarsimError
from xbarsim.base.memory import peak_bytes
from xbarsim.cli.app import app

HEAVY = (
    (circuits, "a device without end"), (circuits, "a header of terabytes"),
    (circuits, "HDF5 of terabytes"), (calibrations, "a gzip bomb"),
    (calibrations, "a workbook that is a bomb"), (calibrations, "a device without end"),
    (checkpoints, "a billion classes"), (checkpoints, "10^9 layers"),
    (checkpoints, "a header of terabytes"), (checkpoints, "a GGUF of 2^60 fields"),
    (checkpoints, "a config without end"), (studies, "a key of 200,000 parts"),
    (studies, "tables in tables"), (tasks, "a device without end"),
)

def attack(module, name):
    found = {attack.name: attack for attack in module.ATTACKS}[name]
    with tempfile.TemporaryDirectory() as place:
        try:
            words = found.do(Path(place))
            app([str(word) for word in words], standalone_mode=False)
        except XbarsimError:
            return
    raise AssertionError(name)

for module, first in ((circuits, "a suffix that is none"), (checkpoints, "other tensors"),
                      (calibrations, "one row"), (studies, "not TOML"), (tasks, "empty")):
    attack(module, first)
costs = {}
for module, name in HEAVY:
    before = peak_bytes()
    start = time.perf_counter()
    attack(module, name)
    costs[name] = (time.perf_counter() - start, peak_bytes() - before)
print(json.dumps(costs))
"""


def test_files_that_claim_a_lot_cost_little():
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-P", "-c", CHILD, str(tests)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, (seconds, grown) in json.loads(done.stdout.splitlines()[-1]).items():
        assert seconds < MOST_S, name
        assert grown < MOST_BYTES, name
