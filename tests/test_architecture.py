"""The shape of the code itself: who may import whom, how long files and functions may be, and which flags people learn."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("objabn", "dali_pipelines", "cli", "benchmarks")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Each layer may import itself and what stands in the lines above it.
LAYERS = [
    {"objabn.types", "objabn.config", "objabn.settings", "objabn.files", "objabn.checkpoint", "objabn.machine", "objabn.versions"},
    {"objabn.recipe_parts"},
    {"objabn.recipes"},
    {"objabn.kernels"},
    {"objabn.data", "objabn.models", "objabn.losses", "objabn.regularisers", "objabn.objective", "objabn.metrics"},
    {"objabn.training"},
    {
        "objabn.evaluation",
        "objabn.feature_cache",
        "objabn.explainers",
        "objabn.faithfulness",
        "objabn.localisation",
        "objabn.comparison",
        "objabn.exporting",
        "objabn.reporting",
        "objabn.reproduction",
        "objabn.diagnosis",
        "objabn.prediction",
    },
    {"objabn.viewing"},
    {"dali_pipelines"},
    {"benchmarks"},
    {"cli"},
]
FORBIDDEN = [("objabn.data", "objabn.models"), ("objabn.models", "objabn.data"), ("objabn.training", "objabn.data")]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int | None:
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return number
    return None


def imported_modules(path: Path) -> list[str]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return modules


@pytest.mark.parametrize("path", [p for p in FILES if module_name(p) != "objabn"], ids=module_name)
def test_imports_go_one_way(path: Path) -> None:
    module = module_name(path)
    own = layer_of(module)
    assert own is not None, f"{module} has no layer"
    for other in imported_modules(path):
        number = layer_of(other)
        assert number is None or number <= own, f"{module} imports {other} from a later layer"
        for importer, banned in FORBIDDEN:
            assert not (module.startswith(importer) and other.startswith(banned)), f"{module} imports {other}"


def test_the_order_would_be_noticed_if_broken() -> None:
    assert layer_of("objabn.training.loop") < layer_of("dali_pipelines.loader") < layer_of("cli.train")


@pytest.mark.parametrize("path", [*FILES, *(ROOT / "tests").glob("*.py")], ids=module_name)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 50, node.name


@pytest.mark.parametrize("statement", ["import objabn", "import cli.main"])
def test_import_brings_neither_torch_nor_dali(statement: str) -> None:
    code = f"import sys; {statement}; print([m for m in ('torch', 'nvidia.dali', 'av', 'ultralytics') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert found.strip() == "[]"


def test_every_public_name_exists() -> None:
    import objabn

    for name in objabn.__all__:
        assert getattr(objabn, name) is not None
