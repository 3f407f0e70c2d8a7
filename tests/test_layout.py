"""The house stays in order: who may import whom beyond the contracts, and where files lie."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
LEARNED = (
    "realnet",
    "dfmgan",
    "anomalydiffusion",
    "defectgan",
    "dsr",
    "adabldm",
    "defectdiffu",
    "congan",
)
METHODS = tuple(f"asbench.synthesizers.{name}" for name in LEARNED)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import, those for type checkers too."""
    return grimp.build_graph("asbench", "cli", "synth_store", cache_dir=None)


def circle_of(graph: grimp.ImportGraph, module: str) -> set[str]:
    """Return the modules that a module imports and that import it, by any way."""
    return graph.find_upstream_modules(module) & graph.find_downstream_modules(module)


def test_no_import_circle_but_inside_one_methods_folder(graph: grimp.ImportGraph) -> None:
    for module in graph.modules:
        own = next((m for m in METHODS if module == m or module.startswith(f"{m}.")), None)
        circle = circle_of(graph, module)
        assert all(own and (m == own or m.startswith(f"{own}.")) for m in circle), (module, circle)


def test_a_circle_would_be_found(graph: grimp.ImportGraph) -> None:
    graph.add_import(importer="synth_store.types", imported="asbench.training.loop")
    assert "asbench.training.loop" in circle_of(graph, "synth_store.types")
    graph.remove_import(importer="synth_store.types", imported="asbench.training.loop")


def test_the_top_of_the_package_can_be_read_at_a_glance() -> None:
    assert len(list((ROOT / "asbench").glob("*.py"))) <= 10
    packages = ("asbench", "cli", "synth_store")
    long = [
        path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    ]
    assert long == []
