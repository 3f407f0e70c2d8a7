"""What is known here by name: the synthesizers by family, the data sets with their files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from asbench import plugins, synthesizers
from asbench.data import published
from asbench.types import FROM_DEFECTS, LearnedSynthesizer, Synthesizer
from synth_store.types import UserError


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A data set known by name. variants: whole names; about, licence: in few words.

    categories: how many are here, None where its files are not or where any path will do; files:
    where they lie, or what is there instead.
    """

    name: str
    variants: tuple[str, ...]
    categories: int | None
    files: str
    about: str
    licence: str


def known_datasets() -> list[KnownDataset]:
    """Return the data sets known by name, sorted, with those of other packages."""
    from asbench import datasets  # only then: a list of methods needs no readers of files

    known = []
    for name in plugins.names(datasets.__name__):
        module = plugins.module(datasets.__name__, name)
        source = getattr(module, "SOURCE", None)
        variants = sorted(plugins.table(datasets.__name__, name))
        categories, files = (None, "any path") if name in datasets.READERS else _here(name)
        known.append(
            KnownDataset(
                name=name,
                variants=tuple(f"{name}@{variant}" for variant in variants),
                categories=categories,
                files=files,
                about=re.split(r"\.?\n|[(:,]", module.__doc__ or "")[0].strip(),
                licence=source.licence.partition(":")[0] if source else "-",
            )
        )
    return known


def _here(name: str) -> tuple[int | None, str]:
    """Return how many categories of a named data set are here, and where its files lie."""
    from asbench import datasets

    try:
        data = datasets.open_dataset(name)
        return len(data.categories()), str(getattr(data, "root", "none needed"))
    except UserError:
        place = os.path.join(os.environ.get("ASBENCH_DATA", ""), name)
        return None, f"{place} is not {name}" if os.path.isdir(place) else "missing"


def method_class(name: str) -> type[Synthesizer]:
    """Return the class of a method, variant or not; raises UserError with the nearest names."""
    return plugins.load(synthesizers.PACKAGE, name, Synthesizer)


@dataclass(frozen=True, slots=True)
class KnownMethod:
    """A method that is here, or that the paper's Table 2 lists.

    learns_from: of what it is fitted, or what it shows again; needs: what else it reads beside the
    normal it draws on; paper: `benchmarked` there, `listed` in Table 2 alone, or nothing for one
    that came after it; here: whether it can be used.
    """

    name: str
    title: str
    paradigm: str
    family: str
    learns_from: str
    needs: str
    paper: str
    here: bool


def known_methods() -> list[KnownMethod]:
    """Return the methods of the registry family by family, and those listed that are not here."""
    listed = published.table2()
    known = []
    for (paradigm, family), names in families().items():
        for name in names:
            cls = method_class(name)
            method = cls()
            needed = sorted(method.needs - FROM_DEFECTS)
            learns = "few-shot defects" if method.from_defects else "nothing"
            if isinstance(method, LearnedSynthesizer):
                learns = method.learns_from
            paper = _in_paper(name, listed)
            known.append(
                KnownMethod(
                    name, cls.title, paradigm, family, learns, ", ".join(needed), paper, True
                )
            )
        known += [
            KnownMethod(name, row.title, paradigm, family, "", "", _in_paper(name, listed), False)
            for name, row in listed.items()
            if (row.paradigm, row.family) == (paradigm, family) and name not in names
        ]
    return known


def _in_paper(name: str, listed: Mapping[str, published.Listed]) -> str:
    if name not in listed:
        return ""
    return "benchmarked" if listed[name].benchmarked else "listed"


def families() -> dict[tuple[str, str], list[str]]:
    """Return the methods by paradigm and family: those made by hand first, compositions last."""
    by_family: dict[tuple[str, str], list[str]] = {}
    for name in plugins.names(synthesizers.PACKAGE):
        cls = method_class(name)
        by_family.setdefault((cls.paradigm, cls.family), []).append(name)
    order = sorted(by_family, key=lambda f: (f[0] != "hand-crafted", f[1] == "composition", f))
    return {family: by_family[family] for family in order}


def needs(cls: type[Synthesizer]) -> str:
    """Say what a method needs beside the normals, in a few words."""
    listed = ", ".join(sorted(cls().needs))
    if not issubclass(cls, LearnedSynthesizer):
        return listed or "normals only"
    return ", ".join(filter(None, [f"a fit on {cls.learns_from}", listed]))
