"""What to type where a store refuses: the one place that turns its data into commands.

Importing this module ends the text of every refusal, wherever it is read, with what mends it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from asbench.settings import STORE, VISIBLE, WHERE
from synth_store import StoreError, StoreKey, errors
from synth_store import SynthStore as SynthStore


def regenerate_command(
    store: errors.Store,
    key: StoreKey,
    category: str,
    origin: Sequence[str] | None = None,
    count: int | None = None,
) -> str:
    """Return the command that makes a set, or the rest of one that was begun.

    origin: the options that name its data set, where they are more than `--dataset` and its key: a
    folder of images has a path. count: how many samples, where not those intended. A set that was
    begun remembers the options it was made with. For a store on an object store the command makes
    it in a folder and copies that there.
    """
    options: list[str] = []
    begun = _begun(store, key, category)
    if begun is not None:
        options = list(begun.get("record", {}).get("options", []))
        origin = origin or begun.get("record", {}).get("origin")
        count = count or begun["target"]
        options += _rules(begun)
    words = ["asbench", "generate", *([] if store.remote else ["--store", str(store.root)])]
    words += origin if origin is not None else ["--dataset", key.dataset]
    words += ["--category", category, "--method", key.method, *options, "--seed", str(key.seed)]
    line = shlex.join([*words, *([] if count is None else ["-n", str(count)])])
    return f"{line} && {_copy(STORE, str(store.root))}" if store.remote else line


def _begun(store: errors.Store, key: StoreKey, category: str) -> Mapping[str, Any] | None:
    """Return what is recorded of a set; None where there is none, or what stands there is damaged.

    What is another's says nothing of the set that belongs there.
    """
    try:
        return store.attributes(key, category) if store.has(key, category) else None
    except StoreError:
        return None


def _rules(begun: Mapping[str, Any]) -> list[str]:
    """Return the options that name the rules of a set that was not begun by the default ones.

    Sets of releases without such rules were begun by the published ones; real defects by none.
    """
    if "parameters" not in begun:
        return []
    times = begun.get("visible", {}).get("times", 0)
    visible = ["--visible", f"{times:g}"] if times != VISIBLE else []
    where = begun.get("record", {}).get("where", "as-published")
    return visible + (["--where", where] if where != WHERE else [])


def _begun_by(differences: Mapping[str, tuple[Any, Any]]) -> str | None:
    """Return the options of the rules that a stored set was begun by, where they alone differ.

    None where more than these differ; empty where what they came to differs, and not they.
    """
    rules = {"visible", "on_object"} & differences.keys()
    ground = {"foreground"} if "on_object" in differences else set()
    if not rules or differences.keys() - rules - ground:
        return None
    stored, asked = ((side or {}).get("times", 0) for side in differences.get("visible", ({}, {})))
    options = [f"--visible {stored:g}"] if stored != asked else []
    if "on_object" in differences:
        there, here = differences["on_object"]
        if there and here:
            return None
        options.append(f"--where {WHERE if there else 'as-published'}")
    return " ".join(options)


def _copy(source: str, target: str) -> str:
    return shlex.join(["asbench", "store", "copy", source, target])


def advice(refusal: errors.Refusal) -> str:
    """Return the end of a refusal's text, from its punctuation on: what its reader may type."""
    match refusal:
        case errors.NoStore(root):
            if root.remote:
                return f": copy one there with `{_copy(STORE, str(root))}`."
            line = shlex.join(["asbench", "generate", "--store", str(root)])
            return f": make one with `{line} --method draem`."
        case errors.OtherFormat():
            return ". Install the release that wrote it, or name another store with --store."
        case errors.OtherGeometry():
            return ". Leave the size out, or name another store with --store."
        case errors.MissingNormals(_, dataset, category):
            return f": run `asbench generate --dataset {dataset} --category {category}`."
        case errors.OtherNormals(root, dataset):
            line = shlex.join(["asbench", "store", "rm", "--store", str(root)])
            return (
                ": give this folder its own name with --name, or remove the old with "
                f"`{line} {dataset}`."
            )
        case errors.MissingSet(store, key, category):
            return f": make it with `{regenerate_command(store, key, category)}`."
        case errors.OtherAddress(root, address):
            at = ["--store", str(root)]
            if address.split("/")[1] == "normal":
                line = shlex.join(["asbench", "store", "verify", "--discard", *at])
                return f": move it back, or remove it with `{line}` and generate it again."
            line = shlex.join(["asbench", "store", "rm", *at, address])
            return (
                f": move it back, remove it with `{line}`, or render what belongs there with "
                "`asbench generate --replace`."
            )
        case errors.UnfinishedSet(store, key, category):
            return f": finish it with `{regenerate_command(store, key, category)}`."
        case errors.NormalsByThemselves():
            return ": asbench store rm DATASET."
        case errors.MissingSamples():
            return ": run the same `asbench generate` again to render them."
        case errors.DrawnOnOthers():
            return ": generate it anew with --replace."
        case errors.OtherIdentity(_, differences) if (by := _begun_by(differences)) is not None:
            if by:
                return (
                    f": go on by the rule that it was begun with, {by}, or render all of it anew "
                    "with --replace."
                )
            return ": render all of it anew with --replace."
        case errors.OtherIdentity():
            return (
                ": name this parameter set with --variant, choose another --seed, or overwrite "
                "what is stored with --replace."
            )
        case errors.OtherVersions():
            return ": install those versions, or render all of it anew with --replace."
        case errors.ChangedSamples():
            return ": render all of it anew with --replace."
        case errors.DamagedSource():
            return ". See what is with `asbench store verify`."
        case errors.NormalsAtTarget():
            return (
                ": give one of the two folders of images its own name with --name, or overwrite "
                "those that are copied to with --replace."
            )
        case errors.PixelsAtTarget():
            return ": overwrite them with --replace."
        case errors.ReadOnly(url):
            return f": write to a folder, then copy it there with `{_copy(STORE, url)}`."
        case errors.MoreThanHeld(url):
            line = _copy(url, STORE)
            return f": bring it to a disk with `{line}`, and name that with --store."
        case errors.MissingPackage():
            return ": pip install 'asbench[cloud]'."
    return ""


errors.Refusal.advise = staticmethod(advice)
