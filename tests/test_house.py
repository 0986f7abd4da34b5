"""The house rules: who imports whom, what lies where, what an import costs."""

from __future__ import annotations

import ast
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import flambeau as torch

from .programs import printed

ROOT = Path(__file__).parent.parent
FOLDERS = {"runtime": "flambeau", "kernel": "flambeau.kernel", "magics": "flambeau.magics",
           "repl": "flambeau.repl", "repl/start": "flambeau_start"}  # fmt: skip

ALLOWED = {
    "flambeau_start": {"flambeau.repl"},
    "flambeau.repl": {"flambeau.repl", "flambeau.kernel"},
    "flambeau.kernel": {"flambeau.kernel", "flambeau.magics", "flambeau"},
    "flambeau.magics": {"flambeau.magics", "flambeau"},
    "flambeau": {"flambeau"},
}
"""What each package may import: repl -> kernel -> magics -> runtime."""

RUNTIME_LAYERS = ["errors", "core", "backends", "autograd", "random", "ops"]
"""Inside the runtime each imports only what stands before it; what is not listed imports all."""


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    nested = {ROOT / other for other in FOLDERS if other.startswith(f"{folder}/")}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if nested & set(path.parents):  # a package of its own
            continue
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        yield ".".join((FOLDERS[folder], *parts)), path


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(path: Path, module: str, functions: bool = True) -> Iterator[str]:
    """The modules that `path` imports, at its top level or (if asked) inside functions too."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not functions:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = ".".join([*base, node.module or ""]).strip(".") if node.level else node.module
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        else:
            stack.extend(ast.iter_child_nodes(node))


def package_of(name: str) -> str:
    for package in ("flambeau.repl", "flambeau.kernel", "flambeau.magics"):
        if name == package or name.startswith(package + "."):
            return package
    return "flambeau" if name == "flambeau" or name.startswith("flambeau.") else ""


@pytest.mark.parametrize("folder", FOLDERS)
def test_packages_import_only_downwards(folder: str) -> None:
    wrong = [
        (module, name)
        for module, path in modules(folder)
        for name in imports(path, module)
        if package_of(name) and package_of(name) not in ALLOWED[FOLDERS[folder]]
    ]
    assert wrong == []


def layer_of(name: str) -> int | None:
    part = [*name.split("."), ""][1]
    return RUNTIME_LAYERS.index(part) if part in RUNTIME_LAYERS else None


def test_the_runtime_imports_only_downwards() -> None:
    wrong = []
    for module, path in modules("runtime"):
        own = layer_of(module)
        for name in imports(path, module, functions=False):
            other = layer_of(name) if package_of(name) == "flambeau" else None
            upper = name.split(".")[1:2] and other is None and package_of(name) == "flambeau"
            if own is not None and (upper or (other is not None and other > own)):
                wrong.append((module, name))
    assert wrong == []


def test_the_product_never_imports_pytorch() -> None:
    wrong = [
        (module, name)
        for folder in FOLDERS
        for module, path in modules(folder)
        for name in imports(path, module)
        if name == "torch" or name.startswith("torch.")
    ]
    assert wrong == []


def test_no_module_of_the_runtime_hides_a_public_function_or_class() -> None:
    for path in (ROOT / "runtime").glob("[!_]*"):
        public = getattr(torch, path.stem, None)
        assert public is None or not (callable(public) or isinstance(public, type)), path


def test_every_folder_with_modules_is_listed_as_a_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {module for f in FOLDERS for module, path in modules(f) if path.name == "__init__.py"}
    assert found == set(listed)


HEAVY = [
    "numba",
    "llvmlite",
    "cupy",
    "onnx",
    "IPython",
    "ipykernel",
    "prompt_toolkit",
    "scipy",
    "safetensors",
]


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    code = f"import sys, flambeau; print([m for m in {HEAVY} if m in sys.modules])"
    assert printed(sys.executable, "-c", code).strip() == "[]"


LATER = ["numpy", "IPython", "jedi", "pygments", "rich", "PIL", "pygls", "zmq", "jupyter_client"]


def test_the_first_prompt_needs_neither_the_runtime_nor_what_only_later_cells_need() -> None:
    code = (
        "import sys; sys.argv = ['flambeau', '--version']; import contextlib, flambeau_start\n"
        "with contextlib.suppress(SystemExit): flambeau_start.main()\n"
        f"import flambeau.repl.application; print([m for m in {LATER} if m in sys.modules])"
    )
    assert printed(sys.executable, "-c", code).split("\n")[1] == "[]"


def test_the_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
             "-w", str(tmp_path), str(ROOT)]  # fmt: skip
    pytest.importorskip("setuptools")
    printed(*build)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        for folder in FOLDERS
        for module, path in modules(folder)
    }
    assert expected <= names
    assert "flambeau/py.typed" in names
    spec = "share/jupyter/kernels/flambeau/"
    for file in ("kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
        assert any(name.endswith(spec + file) for name in names)
