"""What is packaged says the same as pyproject.toml: licences, conda recipe, image, sdist."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

import xbarsim

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def script(name):
    """A module of packaging/."""
    spec = importlib.util.spec_from_file_location(name, PACKAGING / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dependency_is_listed_with_a_licence_and_its_minimum():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) \| (.+?) \| (\S+) \| (\w+) \|$", page, re.M)
    listed = {(name, minimum, of) for name, _, minimum, of in rows if name != "package"}
    needed = script("licences").needed()
    assert len(needed) > 20
    assert listed == {(one.package, one.minimum or "-", one.of) for one in needed}
    licences = [licence for _, licence in re.findall(r"^\| ([\w.-]+) \| ([^|]+) \|", page, re.M)]
    for licence in licences:
        assert re.search(r"[A-Za-z]{3}", licence) and "UNKNOWN" not in licence.upper()


def test_no_licence_of_them_asks_for_the_source_of_who_uses_them():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert not re.search(r"(?<![A-Z])A?GPL|General Public", page.replace("LGPL", "LESSER"))


def test_the_recipe_asks_for_what_the_project_asks_for():
    recipe = (PACKAGING / "conda" / "recipe.yaml").read_text()
    assert f'version: "{xbarsim.__version__}"' in recipe
    entry = PROJECT["scripts"]["xbarsim"]
    assert f"- xbarsim = {entry}" in recipe
    run = recipe.partition("  run:\n")[2].partition("\n\n")[0]
    asked = dict(re.findall(r"^    - ([\w-]+) >=([\d.]+)$", run, re.M))
    renamed = {"matplotlib": "matplotlib-base"}
    lines = [*PROJECT["dependencies"]]
    for extra in ("cli", "bert", "plot"):
        lines += PROJECT["optional-dependencies"][extra]
    wanted = {}
    for line in lines:
        name, _, minimum = line.partition(">=")
        if not name.startswith("xbarsim"):
            wanted[renamed.get(name, name.replace("_", "-"))] = minimum
    assert asked == wanted


def test_the_image_has_all_that_the_wheel_is_made_of():
    kept = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M))
    folders = {"xbarsim", "kernels", "data"}
    files = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}
    assert kept >= folders | files
    lines = (PACKAGING / "Dockerfile").read_text()
    assert "USER 1000" in lines and "NOT BUILT" in lines


@pytest.mark.parametrize(
    "text",
    [
        '{"url": "file:///somewhere"}',
        '{"path": "/home/me/x"}',
        '{"path": "/root/x"}',
        '{"url": "http://localhost:8080/simple"}',
        json.dumps({"where": str(ROOT)}),
    ],
)
def test_a_bill_of_materials_with_places_of_a_machine_is_refused(text):
    with pytest.raises(SystemExit, match="names"):
        script("sbom").check(text)


def test_a_bill_of_materials_of_public_addresses_is_taken():
    script("sbom").check('{"url": "https://github.com/numpy/numpy", "purl": "pkg:pypi/numpy@2"}')
