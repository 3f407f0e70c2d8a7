"""The pages of docs/reference, written from the code: `make docs`, or `python -m docs.build`.

`--check` writes nothing and fails where a page is not what the code says now. Only what this
repository holds is listed: plugins of other packages that happen to be installed play no part.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from asbench import (
    catalogue,
    datasets,
    detectors,
    plugins,
    synthesizers,
    types,
)
from asbench.nets import detector as detector_contract
from asbench.parameters import Parameter
from asbench.parameters import parameters as parameters_of
from cli.main import asbench as command_line
from docs.public_names import SECTIONS
from docs.python_api import describe, prose

FOLDER = Path(__file__).parent / "reference"
NOTICE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->"
FAMILIES = ("patch augmentation", "random shape noise", "GAN-based", "diffusion-based")
"""The order of the paper's Table 2."""
COLUMNS = 80


def page(title: str, *parts: str) -> str:
    """Return a page: title, notice, and the parts that are not empty, a blank line between them."""
    return "\n\n".join([f"# {title}", NOTICE, *filter(None, parts)]) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; empty where there are no rows."""
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(
        f"| {line} |" for line in [" | ".join(heads), " | ".join(["---"] * len(heads)), *lines]
    )


def number(value: Any) -> str:
    """Return a value as code; floats that would fill the line, such as thirds, to six digits."""
    text = repr(value)
    return f"`{value:.6g}`" if isinstance(value, float) and len(text) > 12 else f"`{text}`"


def ours(package: str) -> list[tuple[str, ModuleType]]:
    """Return name and module of the plugins that live in this repository."""
    modules = {name: plugins.module(package, name) for name in plugins.names(package)}
    return [(name, m) for name, m in modules.items() if m.__name__ == f"{package}.{name}"]


def parameters(cls: type, more: dict[str, Callable[[Parameter], str]] | None = None) -> str:
    """Return the table of a plugin's parameters; `more`: further columns, by their heads."""
    columns = {"parameter": lambda p: f"`{p.name}`", "default": lambda p: number(p.default)}
    columns |= {**(more or {}), "meaning": lambda p: prose(p.doc)}
    rows = [[column(p) for column in columns.values()] for p in parameters_of(cls)]
    return table(list(columns), rows)


def variants(package: str, plain: str) -> str:
    """Return the table of a plugin's variants."""
    rows = (
        (f"`{plain}@{name}`", ", ".join(f"`{k}` = {number(v)}" for k, v in changes.items()))
        for name, changes in sorted(plugins.table(package, plain).items())
    )
    return table(("variant", "what it changes"), rows)


def methods() -> str:
    """Return the page of the synthesizers."""
    families: dict[tuple[str, str], list[str]] = {}
    for name, _ in ours(synthesizers.PACKAGE):
        cls = plugins.load(synthesizers.PACKAGE, name, types.Synthesizer)
        families.setdefault((cls.paradigm, cls.family), []).append(_method(name, cls))
    order = sorted(families, key=lambda f: (f[0] != "hand-crafted", _place(f[1]), f[1]))
    parts = []
    for paradigm, family in order:
        parts += [f"## {paradigm.capitalize()}: {family}", *families[paradigm, family]]
    intro = (
        "Every method that `asbench generate --method NAME` takes, grouped as in the paper's "
        "Table 2. Parameters are changed with `--set NAME=VALUE --variant MINE`, which stores the "
        "result as `METHOD@MINE`. [Add a synthesizer](../howto/add-a-synthesizer.md) says how to "
        "write one."
    )
    return page("Methods", intro, "## Table 2", ABOUT_TABLE_2, _table_2(), *parts)


ABOUT_TABLE_2 = (
    "The paper's Table 2, written from the registry, with the methods that came after it. "
    "*Benchmarked*: the paper's other tables have it; *listed*: its Table 2 alone does. What needs "
    "few-shot defects is counted by every run and scored on the test images that nothing has seen. "
    "What each costs and gives: [Methods side by side](../explanation/methods-compared.md)."
)


def _table_2() -> str:
    """Return every method with its family, what it learns from, and where the paper has it."""
    here = {name for name, _ in ours(synthesizers.PACKAGE)}
    rows = [
        (
            f"[{m.name}](#{m.name})" if m.here else m.title,
            m.title,
            f"{m.paradigm}, {m.family}",
            m.learns_from if m.here else "not there yet",
            m.needs,
            m.paper or "later",
        )
        for m in catalogue.known_methods()
        if m.name in here or not m.here
    ]
    heads = ("method", "title", "paradigm, family", "learns from", "needs beside", "in the paper")
    return table(heads, rows)


def _place(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _method(name: str, cls: type[types.Synthesizer]) -> str:
    needs = cls().needs
    learned = issubclass(cls, types.LearnedSynthesizer)
    facts = [
        _fitting(cls()) if learned else "",  # type: ignore[arg-type]
        f"Needs {', '.join(sorted(needs))} beside the normals." if needs else "",
        "Makes its own background." if cls.generates else "",
        "Changes nothing outside of its mask."
        if cls.local
        else "May change pixels outside of its mask.",
        f"Stored as {cls.encoding}, {cls.shard} samples in a shard.",
        f"Pixel version {cls().pixel_version}.",
    ]
    settings = plugins.table(synthesizers.PACKAGE, name, "CATEGORIES")
    refit: dict[str, Callable[[Parameter], str]] = {
        "needs a new fit": lambda p: "no" if p.rendering else "yes"
    }
    parts = (
        f"### {name}",
        f"**{cls.title}.** {cls.paper}. <{cls.url}>",
        prose(cls.__doc__ or ""),
        " ".join(filter(None, facts)),
        parameters(cls, refit if learned else None),
        variants(synthesizers.PACKAGE, name),
        f"Settings of its own for: {', '.join(f'`{c}`' for c in sorted(settings))}."
        if settings
        else "",
        f"```bash\nasbench {'fit' if learned else 'preview'} --method {name}\n```",
    )
    return "\n\n".join(filter(None, parts))


def _fitting(method: types.LearnedSynthesizer) -> str:
    """Say what a learned method is fitted on, from what it starts, and how it renders."""
    model = "one model for all categories" if method.joint else "one model for each category"
    files = "; ".join(
        f"starts from `{f.published}` ({f.source}), given as `--weights {f.name}=PATH`"
        for f in method.pretrained
    )
    told = [f"[Fitted](../howto/learned-synthesizers.md) on {method.learns_from}: {model}", files]
    return f"{'; '.join(filter(None, told))}. Renders {method.batch} samples together."


def detector_page() -> str:
    """Return the page of the detectors."""
    parts = []
    for name, _ in ours(detectors.PACKAGE):
        cls = plugins.load(detectors.PACKAGE, name, detector_contract.Detector)  # type: ignore[type-abstract]
        shipped = plugins.table(detectors.PACKAGE, name)
        protocols = [
            (n, detectors.protocol_of(n)) for n in (name, *(f"{name}@{v}" for v in shipped))
        ]
        parts += [
            f"## {name}",
            f"**{cls.title}.** {cls.paper}. <{cls.url}>",
            prose(cls.__doc__ or ""),
            f"Both sides of an image must be multiples of {cls.stride}.",
            parameters(cls),
            variants(detectors.PACKAGE, name),
            table(
                (
                    "protocol of",
                    "steps",
                    "batch",
                    "ratio",
                    "base-image augmentation",
                    "best on test",
                ),
                [_protocol(n, protocol) for n, protocol in protocols],
            ),
        ]
    intro = (
        "Every detector that `asbench train --detector NAME` takes. A protocol is what is used "
        "where `--steps`, `--batch` and `--ratio` are not given; an epoch is one pass over the "
        "category's normals, `ceil(normals / batch)` steps. The last column is what `--select "
        "best-on-test` does and nothing else: see [Compare with published "
        "numbers](../howto/parity.md). "
        "[Add a detector](../howto/add-a-detector.md) says how to write one."
    )
    return page("Detectors", intro, *parts)


def _protocol(name: str, protocol: detector_contract.Protocol) -> tuple[str, ...]:
    length = f"{protocol.epochs} epochs" if protocol.steps is None else str(protocol.steps)
    augment = "none"
    if protocol.augment is not None:
        first = inspect.cleandoc(protocol.augment.__doc__ or "").partition("\n")[0]
        augment = f"`{protocol.augment.__name__}`: {first}"
    looks = protocol.select
    every = f"{looks.steps} steps" if looks.epochs is None else f"{looks.epochs} epochs"
    best = f"every {every}, by {' + '.join(f'`{m}`' for m in looks.metrics)}"
    return f"`{name}`", length, str(protocol.batch), f"{protocol.ratio:g}", augment, best


def dataset_page() -> str:
    """Return the page of the data sets."""
    parts = []
    for name, module in ours(datasets.__name__):
        cls = plugins.load(datasets.__name__, name, types.Dataset)  # type: ignore[type-abstract]
        parts += [f"## {name}", prose(module.__doc__ or ""), prose(cls.__doc__ or "")]
        parts += [parameters(cls), variants(datasets.__name__, name)]
        if "root" not in {f.name for f in dataclasses.fields(cls)}:  # type: ignore[arg-type]
            parts.append(_counts(cls()))
        elif name in datasets.READERS:
            parts.append("```bash\nasbench data check PATH\n```")
        else:
            origin = module.SOURCE
            way = "fetches them" if origin.url else "says how to get them"
            parts.append(
                f"Its files lie at `$ASBENCH_DATA/{name}`; `asbench data fetch {name}` {way}. "
                f"Licence: {origin.licence}."
            )
    intro = (
        "What `asbench generate --dataset` takes: a name from this page, or the path of a folder "
        "or a table. "
        "`asbench data list` says which of them are here."
    )
    return page("Data sets", intro, *parts)


def _counts(dataset: types.Dataset) -> str:
    rows = []
    for category in dataset.categories():
        test = dataset.test(category)
        kinds = sorted({i.defect for i in test if i.label})
        counts = (
            len(dataset.train(category)),
            sum(not i.label for i in test),
            sum(i.label for i in test),
        )
        rows.append((f"`{category}`", *map(str, counts), ", ".join(kinds) or "none"))
    return table(("category", "train", "test normal", "test anomalous", "defect types"), rows)


def cli() -> str:
    """Return the page of the command line: the help of every command."""
    intro = (
        "What `--help` says of every command on a terminal of 80 columns. Before the command, "
        "`asbench --debug ...` shows the traceback of an error. The exit status is 0, 1 after an "
        "error that you can mend, 2 for wrong usage, 130 after Ctrl-C."
    )
    return page("Command line", intro, *_helps(command_line, "asbench", None))


def _helps(command: click.Command, name: str, parent: click.Context | None) -> list[str]:
    # click leaves two columns free on a terminal; `terminal_width` sets what remains.
    settings = {**command.context_settings, "terminal_width": COLUMNS - 2}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    found = [f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            named = command.get_command(context, inner)
            assert named is not None
            found += _helps(named, inner, context)
    return found


def python() -> str:
    """Return the page of the public names."""
    parts = []
    for title, module, names, about in SECTIONS:
        parts += [f"## {title}", about, *(describe(name, getattr(module, name)) for name in names)]
    intro = "The public names, with their signatures and what their docstrings say."
    return page("Python", intro, *parts)


PAGES: dict[str, Callable[[], str]] = {
    "methods": methods,
    "detectors": detector_page,
    "datasets": dataset_page,
    "cli": cli,
    "python": python,
}


def stale() -> dict[Path, str]:
    """Return the pages that are not what the code says now, with what they should hold."""
    wanted = {FOLDER / f"{name}.md": write() for name, write in PAGES.items()}
    return {p: text for p, text in wanted.items() if not p.exists() or p.read_text() != text}


def main() -> None:
    parser = argparse.ArgumentParser(description="write docs/reference from the code")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a page is stale"
    )
    check = parser.parse_args().check
    found = stale()
    if check and found:
        sys.exit(f"not what the code says: {', '.join(p.name for p in found)}; run `make docs`.")
    for path, text in found.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
