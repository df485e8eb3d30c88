"""Write build/xbarsim-VERSION.cdx.json: a software bill of materials of xbarsim and its extras.

`python packaging/sbom.py`, in an environment with build and cyclonedx-bom: `nox -s sbom`.  Refuses
one that names a place on this machine.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "bert,cluster,excel,gguf,html,hub,plot"
# places of this machine, and indexes that are not the public one
PRIVATE = re.compile(
    r"file:|(?<![\w.])/(?:home|root|tmp|work|opt|usr|var|Users)/|https?://(?:localhost|127\.|10\.)"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        environment = Path(place) / "environment"
        run(sys.executable, "-m", "build", "--wheel", "--outdir", place, ROOT)
        (wheel,) = Path(place).glob("*.whl")
        version = wheel.name.split("-")[1]
        run(sys.executable, "-m", "venv", environment)
        inside = environment / "bin" / "python"
        run(inside, "-m", "pip", "install", "--quiet", f"{wheel}[{EXTRAS}]")
        made = Path(place) / "sbom.json"
        words = ["environment", inside, "--pyproject", ROOT / "pyproject.toml"]
        words += ["--mc-type", "library", "--output-reproducible", "--output-file", made]
        run(sys.executable, "-m", "cyclonedx_py", *words)
        content = json.loads(made.read_text())
    content["metadata"]["component"]["version"] = version
    text = json.dumps(content, indent=1) + "\n"
    check(text)
    out = ROOT / "build" / f"xbarsim-{version}.cdx.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(text)
    print(f"{out.relative_to(ROOT)}: {len(content['components'])} components")


def check(text: str) -> None:
    """Refuse a text that names a place on this machine, or an index other than the public one."""
    found = PRIVATE.search(text)
    if found is not None:
        around = text[max(0, found.start() - 60) : found.end() + 60]
        sys.exit(f"the bill of materials names a place on this machine: {around}")
    if str(ROOT) in text or os.path.expanduser("~") in text:
        sys.exit("the bill of materials names the checkout or the home directory")


def run(*words: object) -> None:
    """Run a command; its failure is ours."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} failed\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
