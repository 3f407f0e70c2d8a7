"""What is known by name: the paper's Table 2, from the registry."""

from __future__ import annotations

from asbench.catalogue import known_methods
from asbench.data.published import table2
from asbench.study import spec


def test_table_2_has_eighteen_rows_as_the_registry_says_them() -> None:
    listed, known = table2(), {method.name: method for method in known_methods()}
    assert len(listed) == 18
    for name, row in listed.items():
        method = known[name]
        title = method.title.removesuffix(" (likeness)")  # which says that it is one
        assert (title, method.paradigm, method.family) == row[:3]
        assert method.paper == ("benchmarked" if row.benchmarked else "listed")
    assert all(method.here for method in known.values())


def test_what_was_benchmarked_is_what_the_paper_s_study_runs() -> None:
    benchmarked = {name for name, row in table2().items() if row.benchmarked}
    assert benchmarked == _methods("paper")


def test_every_later_method_is_in_the_study_of_them() -> None:
    """With the generative ones that Table 2 lists and no other table of the paper has."""
    later = {m.name for m in known_methods() if not m.paper and m.name != "compose"}
    unrun = {m.name for m in known_methods() if m.paper == "listed" and m.paradigm == "generative"}
    assert unrun == {"adabldm", "congan", "defectdiffu", "defectgan"}
    assert later | unrun == _methods("later")


def test_what_shows_or_learns_real_defects_says_so() -> None:
    from_defects = {m.name for m in known_methods() if m.learns_from == "few-shot defects"}
    assert {"croppaste", "dfmgan", "anomalydiffusion"} <= from_defects
    assert not {"compose", "glass", "realnet"} & from_defects


def _methods(name: str) -> set[str]:
    """The methods that a shipped study runs, each by itself."""
    (base,) = [part for part in spec.read(name).parts if part.name == "base"]
    return {name for mix in base.axes["mix"] for name, _ in mix.shares}
