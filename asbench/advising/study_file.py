"""An advice as a study: the mixture and each of its parts, three seeds, beside a memory alone."""

from __future__ import annotations

import json

from asbench.datasets import place_of
from asbench.results.advised import Advised
from asbench.settings import TEXTURES, AdviseSettings
from asbench.types import Dataset
from synth_store.types import Geometry

SEEDS = 3


def study_text(advised: Advised, data: Dataset, asked: AdviseSettings) -> str:
    """Return the study file, which `asbench study run` takes."""
    geometry = Geometry.parse(advised.geometry)
    name, mix = advised.dataset, str(advised.mixture)
    folder = place_of(data)
    lines = [
        f"# What `asbench advise` proposed for {name}/{advised.category}, with each method of",
        "# the mixture alone and a memory of the normals for which nothing was drawn. Run it with",
        "# `asbench study run` and this file.",
        f"name: advised-{name.partition('@')[0]}",
        f"size: {geometry.width}x{geometry.height}",
        f"resize: {geometry.resize}",
    ]
    if geometry.tiled:
        lines += [f"scale: {geometry.scale:g}", f"overlap: {geometry.overlap}"]
        lines += [f"empty_tiles: {asked.empty_tiles:g}"] if asked.empty_tiles is not None else []
    lines += [
        f"samples: {advised.n}",
        *([f"textures: {json.dumps(asked.textures)}"] if asked.textures != TEXTURES else []),
        f"datasets: {{{json.dumps(name)}: [{json.dumps(advised.category)}]}}",
    ]
    if folder is not None:
        lines.append(f"folders: {{{json.dumps(name)}: {json.dumps(str(folder.absolute()))}}}")
    if advised.few_shot:
        lines.append("protocol: {chosen_on_few_shot: true}")
    if asked.object is not None:
        lines.append(f"objects: {{{json.dumps(name)}: {json.dumps(asked.object)}}}")
    singles = ", ".join(json.dumps(method) for method in advised.mixture.names)
    parts = [
        "parts:",
        f"  advised: {{mixes: [{json.dumps(mix)}]}}",
        *([f"  singles: {{mixes: [{singles}]}}"] if len(advised.mix) > 1 else []),
        "  baseline: {ratios: 0}",
    ]
    seeds = ", ".join(map(str, range(SEEDS)))
    return "\n".join([*lines, f"detectors: [{advised.detector}]", f"seeds: [{seeds}]", *parts, ""])
