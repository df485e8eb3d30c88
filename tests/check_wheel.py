"""Compare a wheel with the checkout: `python tests/check_wheel.py FOLDER` of one wheel."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def expected():
    """Files that the wheel must hold."""
    yield "xbarsim/py.typed"
    yield from (f"xbarsim/report/page/page.{suffix}" for suffix in ("html", "css", "js"))
    for path in (ROOT / "xbarsim").rglob("*.py"):
        yield path.relative_to(ROOT).as_posix()
    for folder in ("kernels", "data"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".toml"):
                yield f"xbarsim/{path.relative_to(ROOT).as_posix()}"


def main(folder):
    (wheel,) = Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        missing = sorted(set(expected()) - set(archive.namelist()))
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(missing)}")
    print(f"{wheel.name}: {len(set(expected()))} files")


if __name__ == "__main__":
    main(sys.argv[1])
