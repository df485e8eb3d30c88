"""The one-way order of the rooms, and what an import may cost."""

import ast
import inspect
import operator
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import xbarsim

ROOT = Path(__file__).parents[2]

# A room may import only rooms that stand before it, and its own without a circle of modules.
ROOMS = (
    "base",
    "kernels",
    "config",
    "circuit",
    "tasks",
    "devices",
    "models",
    "calibrate",
    "arrays",
    "annealing",
    "training",
    "chips",
    "hardware",
    "studies",
    "torch",
    "report",
    "cli",
)
RANK = {room: rank for rank, room in enumerate(ROOMS)}
LINES = 500  # of a file, at most


def imported_names(path):
    """Dotted names that a file imports anywhere, functions included; of `from a import b` a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path):
    """Rooms of xbarsim that a file imports from."""
    for name in imported_names(path):
        parts = name.split(".")
        if parts[0] == "xbarsim" and len(parts) > 1:
            yield parts[1]


def room_of(path):
    """The room that a file lies in."""
    return path.relative_to(ROOT / "xbarsim").parts[0]


MODULES = sorted((ROOT / "xbarsim").glob("*/**/*.py"))
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))


def name_of(path):
    return str(path.relative_to(ROOT).with_suffix(""))


def test_every_folder_is_a_room():
    folders = {path.parent.name for path in (ROOT / "xbarsim").glob("*/__init__.py")}
    assert folders | {"kernels"} == set(ROOMS)
    files = {path.name for path in (ROOT / "xbarsim").glob("*.py")}
    assert files == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path):
    for room in imported_rooms(path):
        if room in RANK:
            assert RANK[room] <= RANK[room_of(path)], f"{name_of(path)} imports {room}"
        else:
            assert room in ("__version__", "data"), f"{name_of(path)} imports xbarsim.{room}"


@pytest.mark.parametrize("path", [*MODULES, *KERNELS], ids=name_of)
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


def dotted(path):
    """Name of a module of a file below the repository, such as xbarsim.calibrate.iv."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("xbarsim", *parts) if parts[0] == "kernels" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(paths):
    """{module: modules that it imports}, by dotted names of the modules of `paths`."""
    names = {dotted(path): path for path in paths}
    graph = {}
    for name, path in names.items():
        wanted = set()
        for imported in imported_names(path):
            wanted.add(imported if imported in names else imported.rpartition(".")[0])
        graph[name] = (wanted & set(names)) - {name}
    return graph


def circle(graph):
    """Modules of a circle of imports, the first again at the end; None if there is none."""
    clear = set()

    def follow(module, path):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in clear:
            return None
        for imported in sorted(graph[module]):
            found = follow(imported, [*path, module])
            if found:
                return found
        clear.add(module)
        return None

    return next((found for module in sorted(graph) if (found := follow(module, []))), None)


def test_imports_go_in_no_circle():
    """Not even inside a row, nor by an import within a function."""
    paths = [*(ROOT / "xbarsim").rglob("*.py"), *KERNELS]
    graph = import_graph(paths)
    graph.pop("xbarsim")  # its lazy exports name modules that import its version
    found = circle({name: imported - {"xbarsim"} for name, imported in graph.items()})
    assert found is None, " -> ".join(found)


@pytest.mark.parametrize(
    "graph, found",
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, None),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, None),
        ({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, ["b", "c", "d", "b"]),
    ],
)
def test_a_circle_is_found(graph, found):
    assert circle(graph) == found


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    places = [*(ROOT / "xbarsim").rglob("__init__.py"), *(ROOT / "kernels").rglob("__init__.py")]
    assert {dotted(place) for place in places} | {"xbarsim.data"} == set(listed)


@pytest.mark.parametrize("path", KERNELS, ids=name_of)
def test_kernels_import_only_arrays_and_each_other(path):
    allowed = {"functools", "math", "numba", "numpy", "typing", "xbarsim"}
    if path.stem == "_jit":
        allowed |= {"hashlib", "os", "tempfile", "pathlib", "platformdirs"}
    if path.stem == "_cache":
        allowed |= {"hashlib", "pathlib", "pickle"}
    if path.stem in ("generated", "lanes", "products"):
        allowed |= {"llvmlite"}  # vectors, which Numba has no type for
    if path.stem == "transfer":
        allowed |= {"threading"}  # scratch memory of each thread
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"
            assert not name.startswith("xbarsim") or name.startswith("xbarsim.kernels")


def said_by(code):
    """What a new interpreter prints for a line of code."""
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_room_imports_torch(path):
    """No other one; and only commands import that room, within a function."""
    if room_of(path) == "torch":
        return
    for name in imported_names(path):
        assert name.split(".")[0] not in ("torch", "transformers", "peft"), name
        assert room_of(path) == "cli" or not name.startswith("xbarsim.torch"), name


def test_importing_xbarsim_compiles_nothing():
    """No library is loaded, and 0.3 s of a processor are not reached."""
    heavy = ("numba", "numpy", "h5py", "pydantic", "scipy")
    code = f"import sys, xbarsim; print(any(m in sys.modules for m in {heavy}))"
    assert said_by(code) == "False"
    timed = "import time; t = time.process_time(); import xbarsim; print(time.process_time() - t)"
    assert min(float(said_by(timed)) for _ in range(3)) < 0.3


def public_names():
    """{name: module} of what `xbarsim/__init__.py` imports for type checkers."""
    tree = ast.parse((ROOT / "xbarsim" / "__init__.py").read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in checked.body for alias in node.names}


def test_public_names_are_the_same_for_python_type_checkers_and_the_page():
    checked = public_names()
    modules = {name: f"{checked.pop(name)}.{name}" for name in xbarsim._MODULES}
    assert modules == xbarsim._MODULES
    assert checked == xbarsim._EXPORTS
    assert sorted(xbarsim.__all__) == sorted([*checked, *modules, "__version__"])
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)[`(]", page, re.M))
    assert listed == set(xbarsim.__all__) - {"__version__"}


def methods_of(found):
    """Methods and properties without underscore of a class, its `__init__`; none of a module."""
    if not inspect.isclass(found):
        return []
    own = {key: value for key, value in vars(found).items() if key[0] != "_" or key == "__init__"}
    getters = [value.fget for value in own.values() if isinstance(value, property)]
    return getters + [value for value in own.values() if inspect.isfunction(value)]


NAMES = sorted(set(xbarsim.__all__) - {"__version__"})
FITS = [f"calibrate.{name}" for name in xbarsim.calibrate.__all__ if name != "KINDS"]


def test_names_of_calibrate_are_those_that_it_exports():
    own = {"KINDS", "calibrate_files"}
    assert set(xbarsim.calibrate.__all__) == own | set(xbarsim.calibrate._EXPORTS)


@pytest.mark.parametrize("name", NAMES + FITS)
def test_public_names_are_documented_and_annotated(name):
    """Of functions and methods: an annotation of everything, Parameters, Returns and Raises."""
    found = operator.attrgetter(name)(xbarsim)
    assert found.__doc__
    if not inspect.isfunction(found):
        for method in methods_of(found):
            parameters = set(inspect.signature(method).parameters) - {"self"}
            assert parameters | {"return"} <= set(method.__annotations__), method
            if parameters and method.__name__ != "__init__":
                assert_sections(f"{name}.{method.__name__}", inspect.getdoc(method))
        return
    assert "return" in found.__annotations__
    parameters = inspect.signature(found).parameters
    assert set(parameters) <= set(found.__annotations__)
    if parameters:
        assert_sections(name, inspect.getdoc(found))


def assert_sections(name, text):
    for section in ("Parameters", "Returns", "Raises"):
        assert f"\n{section}\n---" in text, f"{name} lacks {section}"
