"""`asbench methods`: the anomaly synthesizers and their parameters."""

from __future__ import annotations

import inspect

import click

from cli.imports import unsearched


@click.group("methods", epilog="\b\nExample:\n  asbench methods show draem\n")
def command() -> None:
    """The anomaly synthesizers and their parameters."""


@command.command("list", epilog="\b\nExample:\n  asbench methods list\n")
def list_() -> None:
    """List the methods by paradigm and family, with what each needs."""
    from itertools import groupby

    with unsearched():
        from asbench.catalogue import known_methods, method_class, needs
        from asbench.synthesizers import variants
        from cli import console

        known = known_methods()
    for (paradigm, family), methods in groupby(known, lambda m: (m.paradigm, m.family)):
        console.say(f"\n{paradigm}, {family}")
        shown = console.table("  method", "needs", "variants")
        shown.show_header = False
        for method in methods:
            if method.here:
                others = " ".join(f"@{v}" for v in variants(method.name))
                shown.add_row(f"  {method.name}", needs(method_class(method.name)), others)
        console.out.print(shown)
    console.say("\nreal, in place of a method: the data set's few-shot defects themselves")
    if missing := [method.title for method in known if not method.here]:
        console.say(f"\nIn the paper's Table 2, and not there yet: {', '.join(missing)}.")
    console.next_step("asbench methods show draem", "asbench preview --method all --compact")


@command.command("show", epilog="\b\nExample:\n  asbench methods show cutpaste\n")
@click.argument("name")
def show(name: str) -> None:
    """Show what a method does, its paper, cost and parameters."""
    from asbench import plugins
    from asbench.catalogue import method_class, needs
    from asbench.generation.cost import CATEGORY, measure
    from asbench.parameters import parameters
    from asbench.synthesizers import resolve
    from asbench.types import LearnedSynthesizer, PerSample
    from cli import console

    cls = method_class(name)
    module = plugins.module("asbench.synthesizers", name)
    console.say(f"{cls.title} ({cls.paradigm}, {cls.family})\n{cls.paper}\n{cls.url}\n")
    console.say(inspect.cleandoc(cls.__doc__ or module.__doc__ or ""))
    console.say(f"\nneeds: {needs(cls)}")
    console.say(f"local: {'yes' if cls.local else 'no'} (equal to the normal outside of its mask)")
    shown_on = resolve(name, dataset="demo", category=CATEGORY)
    if isinstance(shown_on, PerSample):
        console.say(f"cost: {measure(shown_on)}")
    console.say("")
    shown = console.table("parameter", "default")
    shown.add_column("meaning", overflow="fold")
    for parameter in parameters(cls):
        shown.add_row(parameter.name, str(parameter.default), parameter.doc)
    console.out.print(shown)
    for variant, changes in plugins.table("asbench.synthesizers", name).items():
        listed = ", ".join(f"{k} = {v}" for k, v in changes.items())
        console.say(f"\n{name.partition('@')[0]}@{variant}: {listed}")
    if issubclass(cls, LearnedSynthesizer):
        free = ", ".join(p.name for p in parameters(cls) if p.rendering)
        console.say(f"\nwhat may change without a new fit: {free}")
        console.next_step(f"asbench fit --method {name}")
        return
    own = [f"{p.name}={p.default}" for p in parameters(cls)][:1]
    console.next_step(
        f"asbench preview --method {name}",
        console.command("asbench", "generate", method=name.partition("@")[0], set=own[0])
        + " --variant mine",
    )
