"""The paper's Table 3 as data, and the sentences that name differences from it."""

from __future__ import annotations

from asbench.data.published import Counts, Measured, categories, differences, table3


def whole(dataset: str) -> dict[str, Measured]:
    """Return a data set as the table prints it."""
    sides = table3()[dataset].sides
    return {name: Measured(counts, sides) for name, counts in categories(dataset).items()}


def test_the_table_is_the_printed_one_and_the_categories_sum_to_it() -> None:
    printed = table3()
    assert {name: (*row.counts, row.categories, *row.sides) for name, row in printed.items()} == {
        "mvtec": (3629, 467, 1258, 15, 700, 1024),
        "btad": (1799, 451, 290, 3, 600, 1600),
        "visa": (8659, 962, 1200, 12, 960, 1562),
        "mpdd": (888, 176, 282, 6, 1024, 1024),
        "mtd": (902, 50, 392, 1, 113, 491),
    }
    for name, row in printed.items():
        inside = categories(name)
        assert len(inside) == row.categories
        assert sum(inside.values(), Counts(0, 0, 0)) == row.counts
        assert differences(name, whole(name)) == ()


def test_each_difference_is_named() -> None:
    measured = whole("btad")
    del measured["02"]
    measured["03"] = Measured(Counts(1000, 399, 41), (600, 900))
    assert differences("btad", measured) == (
        "btad category 02 is missing",
        "2 categories here, 3 printed",
        "in all: 1400 train normals here, 1799 printed",
        "in all: 420 test normals here, 451 printed",
        "in all: 90 test anomalies here, 290 printed",
        "03: 399 test normals here, 400 in the release",
    )
    sizes = whole("btad") | {"01": Measured(categories("btad")["01"], (500, 1700))}
    assert differences("btad", sizes) == ("sides of 500-1700 pixels here, 600-1600 printed",)


def test_what_is_wrong_in_the_table_is_said() -> None:
    measured = {"tile": Measured(Counts(902, 50, 392), (103, 632))}
    assert differences("mtd", measured) == (
        "sides of 103-632 pixels here, 113-491 printed; the authors' own files measure 103-632, "
        "so the table is wrong here",
    )


def test_a_variant_has_a_split_of_its_own() -> None:
    measured = {"tile": Measured(Counts(785, 167, 392), (113, 491))}
    assert differences("mtd@grouped", measured) == ()
    fewer = {"tile": Measured(Counts(785, 160, 392), None)}
    assert differences("mtd@grouped", fewer) == (
        "in all: 945 normals here, 952 printed",
        "tile: 945 normals here, 952 in the release",
    )


def test_other_data_sets_are_not_in_the_table() -> None:
    assert differences("demo", {}) is None
    assert differences("my_bolts", whole("btad")) is None
