"""Fitted weights: found, read, and loaded to render from."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from asbench.files.documents import Number, RecordFile
from asbench.settings import FITS
from asbench.synthesizers import variants
from asbench.types import LearnedSynthesizer, Renderer, Synthesizer
from synth_store import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

SCHEMA = 1
WEIGHTS = "weights.safetensors"
RECORD = "fit.json"
ALL = "all"
"""The folder of a model that serves all categories of its data set."""
LIBRARIES = ("torch", "diffusers", "transformers")
"""The libraries whose version may change a learned pixel."""
EXTRA = ("diffusers", "transformers")
"""Those of them that come with the extra `diffusion`."""


class FitIdentity(TypedDict):
    """Everything that decides fitted weights, but for library versions and the device.

    normals: category to digest; kinds: to its defect types; defects: to the ids of those it sees;
    weights: digests of what it starts from, by name.
    """

    dataset: str
    method: str
    seed: int
    geometry: str
    parameters: Mapping[str, Any]
    pixel_version: int
    normals: Mapping[str, str]
    kinds: Mapping[str, Sequence[str]]
    defects: Mapping[str, Sequence[str]]
    defects_digest: str
    weights: Mapping[str, str]


@dataclass(frozen=True)
class FitRecord:
    """The contents of `fit.json`.

    digest: of the weights; losses: (step, loss) by stage and loss; seconds: wall time; created: ISO
    8601.
    """

    identity: FitIdentity
    digest: str
    losses: Mapping[str, Sequence[tuple[int, Number]]]
    seconds: Number
    device: str
    threads: int
    versions: Mapping[str, str]
    created: str


FIT_FILE = RecordFile(
    FitRecord, RECORD, SCHEMA, "fit again with `asbench fit --replace`", ascii_only=True
)


@dataclass(frozen=True)
class Fitted:
    """A finished fit: its folder and what its `fit.json` says."""

    folder: Path
    record: FitRecord

    @property
    def digest(self) -> str:
        """What was fitted, with the weights it started from: 64 hex digits."""
        return self.record.digest

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The categories it is for, each with its defect types."""
        return {c: tuple(kinds) for c, kinds in self.record.identity["kinds"].items()}

    def defects_seen(self, category: str) -> tuple[str, ...]:
        """Return the ids of the real defects of a category that it was fitted on."""
        return tuple(self.record.identity["defects"].get(category, ()))


@dataclass(frozen=True)
class Loading:
    """What a worker loads a renderer from; picklable. pretrained: (name, place) of each."""

    folder: Path
    digest: str
    device: str
    pretrained: tuple[tuple[str, Path], ...]


def fit_folder(fits: Path | str, dataset: str, method: str, seed: int, label: str) -> Path:
    """Return the folder of a fit; label: a category, or `all`."""
    return Path(fits) / dataset / method / str(seed) / label


def fit_parameters(synthesizer: LearnedSynthesizer) -> dict[str, Any]:
    """Return the parameters that decide what is fitted, as JSON would read them back."""
    parameters = {
        field.name: getattr(synthesizer, field.name)
        for field in fields(synthesizer)
        if not field.metadata.get("rendering")
    }
    decoded: dict[str, Any] = json.loads(json.dumps(parameters))
    return decoded


def find_fit(
    fits: Path | str,
    dataset: str,
    method: str,
    category: str,
    seed: int,
    synthesizer: LearnedSynthesizer,
    *,
    name: str = "",
) -> Fitted:
    """Return the fit that serves a category: its own, else that of all categories.

    Where there is none under the method's name, that of another parameter set will do which
    differs in nothing that fitting sees. synthesizer: the method, resolved for the category; name:
    what the data set is called on the command line, where it is a path. Raises UserError where
    there is none, with the command that makes it, and with a variant that is fitted.
    """
    for fitted in _serving(fits, dataset, method, category, seed):
        return fitted
    plain, wanted = method.partition("@")[0], fit_parameters(synthesizer)
    for other in sorted(p.name for p in (Path(fits) / dataset).glob("*")):
        if other.partition("@")[0] == plain:
            for fitted in _serving(fits, dataset, other, category, seed):
                if fitted.record.identity["parameters"] == wanted:
                    return fitted
    origin = ["--dataset", name or dataset, "--category", category]
    at = ["--fits", str(fits)] if str(fits) != FITS else []
    line = ["asbench", "fit", "--method", method, *origin]
    line += (["--seed", str(seed)] if seed else []) + at
    told = f"`{shlex.join(line)}`"
    shipped = [plain, *(f"{plain}@{variant}" for variant in variants(plain))]
    for other in fitted_methods(fits, dataset, category, seed):
        if other in shipped:  # another needs the --set options it was fitted with
            line = ["asbench", "generate", "--method", other, *origin]
            line += (["--fit-seed", str(seed)] if seed else []) + at
            told = f"{other} is, so name that: `{shlex.join(line)}`; or fit it: {told}"
            break
    raise UserError(
        f"{method} is not fitted for {dataset}/{category} (fit seed {seed}, looked in {fits}): "
        f"{told}."
    )


def fitted_methods(fits: Path | str, dataset: str, category: str, seed: int = 0) -> list[str]:
    """Return the methods that are fitted for a category, sorted."""
    every = sorted(p.name for p in (Path(fits) / dataset).glob("*"))
    return [method for method in every if _serving(fits, dataset, method, category, seed)]


def _serving(fits: Path | str, dataset: str, method: str, category: str, seed: int) -> list[Fitted]:
    """Return the finished fits under a name that serve a category, its own first."""
    places = (fit_folder(fits, dataset, method, seed, label) for label in (category, ALL))
    finished = [read_fit(place) for place in places if (place / RECORD).exists()]
    return [fitted for fitted in finished if category in fitted.kinds]


def loading_of(
    synthesizer: Synthesizer, fitted: Fitted, given: Mapping[str, Path] | None, device: str | None
) -> Loading:
    """Return how a fit is loaded.

    Raises UserError for other parameters than it was fitted with, for a device that is not there,
    and for weights it started from that are missing or others.
    """
    from asbench.fitting.weights import content_digest, find_weights
    from asbench.nets.device import find_device

    assert isinstance(synthesizer, LearnedSynthesizer)
    then = fitted.record.identity["parameters"]
    for parameter, value in fit_parameters(synthesizer).items():
        if then.get(parameter) != value:
            raise UserError(
                f"{fitted.folder} was fitted with {parameter}={then.get(parameter)!r}, not "
                f"{value!r}: give the same --set options as to `asbench fit`, or fit anew with "
                "--replace."
            )
    absorbed = {file.name for file in synthesizer.pretrained if not file.rendering}
    weights = find_weights(
        synthesizer.title,
        [file for file in synthesizer.pretrained if file.rendering],
        {name: path for name, path in (given or {}).items() if name not in absorbed},
    )
    for name, path in weights.items():
        if content_digest(path) != fitted.record.identity["weights"].get(name):
            raise UserError(
                f"{path} is not what {fitted.folder} was fitted with: name the file with "
                f"--weights {name}=PATH, or fit again with --replace."
            )
    return Loading(fitted.folder, fitted.digest, str(find_device(device)), tuple(weights.items()))


def read_fit(folder: Path) -> Fitted:
    """Return the fit of a folder; raises UserError naming a damaged or later one, and the key."""
    return Fitted(folder, FIT_FILE.read(folder))


def digest_of(weights: Path, pretrained: Mapping[str, str]) -> str:
    """Return the SHA-256 of a file of weights and of the digests of what it started from."""
    stamp = hashlib.sha256(weights.read_bytes())
    for name in sorted(pretrained):
        stamp.update(f"{name}\x1f{pretrained[name]}\x1f".encode())
    return stamp.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that a learned pixel depends on, of those installed."""
    installed = {}
    for library in LIBRARIES:
        try:
            installed[library] = version(library)
        except PackageNotFoundError:
            continue
    return installed


@lru_cache(maxsize=1)
def load(synthesizer: LearnedSynthesizer, loading: Loading) -> Renderer:
    """Return the networks of a fit, ready to render; kept for the next job of this process.

    Raises UserError where weights are missing, damaged, or not those the set is of.
    """
    import torch

    from asbench.fitting.contract import load_kept
    from asbench.nets.seeds import private_rng

    fitted = read_fit(loading.folder)
    path = loading.folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{path} is missing: fit again with `asbench fit --replace`.")
    known = fitted.record.identity["weights"]
    if digest_of(path, known) != loading.digest:
        raise UserError(
            f"{path} is not what {loading.folder / RECORD} says (damaged, or fitted anew "
            "meanwhile): fit again with `asbench fit --replace`."
        )
    device = torch.device(loading.device)
    with private_rng(device):
        model = networks(synthesizer, fitted.kinds, dict(loading.pretrained))
    load_kept(model, path)
    return Evaluated(model.to(device).eval())


def networks(
    synthesizer: LearnedSynthesizer,
    kinds: Mapping[str, tuple[str, ...]],
    pretrained: Mapping[str, Path],
) -> LearnedModel:
    """Return a method's fresh networks.

    Raises UserError where a library of theirs is missing, TypeError where they are no LearnedModel.
    """
    from asbench.fitting.contract import LearnedModel

    try:
        model = synthesizer.build(kinds, pretrained)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRA:
            raise
        raise UserError(
            f"{synthesizer.title} needs {library}, which is not installed: "
            "`pip install 'asbench[diffusion]'`."
        ) from error
    if not isinstance(model, LearnedModel):
        raise TypeError(
            f"{synthesizer.title}: build returns {type(model).__name__}, not a LearnedModel."
        )
    return model


class Evaluated:
    """A model that renders in eval mode, without gradients, and grey where all normals are."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def render(self, canvases: Any, rngs: Any) -> Any:
        import torch

        from asbench.imaging.colour import as_normals

        with torch.inference_mode():
            samples = self.model.render(canvases, rngs)
        if not self.model.method.keeps_grey:
            return samples
        return [s and as_normals(s, c) for s, c in zip(samples, canvases, strict=True)]
