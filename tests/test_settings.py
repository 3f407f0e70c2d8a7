"""A setting is said once: signatures, options, study keys and runs' ids all come from its field."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

import asbench
from asbench.parameters import parameter, parameters, takes
from asbench.settings import FitSettings, GenerateSettings, MeasureSettings, Settings, TrainSettings
from asbench.study import spec
from cli import fit, generate, options, quality, train
from synth_store import Mix, UserError

STAGES: tuple[tuple[type[Settings], Any, click.Command], ...] = (
    (TrainSettings, asbench.train, train.command),
    (GenerateSettings, asbench.generate, generate.command),
    (FitSettings, asbench.fit, fit.command),
    (MeasureSettings, asbench.measure, quality.command),
)


@pytest.mark.parametrize(("cls", "function", "command"), STAGES)
def test_every_setting_is_an_argument_and_an_option_with_its_sentence(
    cls: type[Settings], function: Any, command: click.Command
) -> None:
    settings = {one.name: one for one in parameters(cls)}
    arguments = inspect.signature(function).parameters
    assert list(arguments) == list(settings)
    assert {name: a.default for name, a in arguments.items()} == {
        name: one.default for name, one in settings.items()
    }
    told = " ".join(function.__doc__.split())
    for one in settings.values():
        assert one.doc.endswith(".")
        assert f"{one.name}: {' '.join(one.doc.split())}" in told.replace("- ", "-")
    offered = {o.name: o for o in command.params if isinstance(o, click.Option)}
    assert {n for n, one in settings.items() if one.flags != ()} <= set(offered)
    for name, one in settings.items():
        if one.flags != ():
            assert (offered[name].help or "").startswith(one.doc[:-1])


@dataclass(frozen=True)
class Mine(TrainSettings):
    """One more setting."""

    warmth: Literal["warm", "cold"] = parameter("cold", "How warm it is.")
    layers: int = parameter(3, "How many layers.", least=2)


def test_a_new_field_is_all_that_a_new_setting_takes() -> None:
    @takes(Mine)
    def work(asked: Mine) -> tuple[str, int]:
        """Work."""
        return asked.warmth, asked.layers

    @click.command()
    @options.of(Mine)
    def command(asked: Mine) -> None:
        click.echo(f"{asked.warmth} {asked.layers} {asked.mix} {asked.settings}")

    assert work(warmth="warm") == ("warm", 3)
    assert work.of(Mine(layers=5)) == ("cold", 5)
    assert "warmth: How warm it is." in str(inspect.getdoc(work))
    with pytest.raises(UserError, match="warmth 'hot' is unknown: choose warm or cold"):
        work(warmth="hot")  # type: ignore[arg-type]
    given = ["--warmth", "warm", "--mix", "b,a", "--set", "width=3"]
    assert CliRunner().invoke(command, given).output == ("warm 3 a:0.5,b:0.5 {'width': '3'}\n")
    refused = CliRunner().invoke(command, ["--layers", "1"])
    assert "1 is too small: give 2 or more" in refused.output


def test_a_mix_is_one_type_however_it_was_given() -> None:
    asked = TrainSettings(mix="fractal:1,draem:3")
    assert asked.mixture == Mix.parse("draem:0.75,fractal:0.25")
    assert asked == TrainSettings(mix=asked.mixture)
    assert asked.decides()["mix"] == {"draem": 0.75, "fractal": 0.25}
    assert TrainSettings().mixture == Mix()


def test_what_decides_an_outcome_knows_neither_places_nor_listeners() -> None:
    asked = TrainSettings(mix="draem", ratio=0.5)
    elsewhere = replace(asked, store="s", runs="r", device="cuda", name="n", progress=print)
    assert elsewhere.decides() == asked.decides()
    assert "select_every" not in asked.decides()
    looked = replace(asked, select="best-on-test", select_every=5)
    assert looked.decides()["select_every"] == 5
    assert hash(asked) == hash(replace(asked))


def test_a_study_says_settings_by_their_names() -> None:
    said = {one.key for one in parameters(TrainSettings) if one.study == "axis"}
    assert said == {"mixes", "ratios", "pools", "seeds", "synth_seeds"} == set(spec.AXES[2:-1])
    budget = {one.key for one in parameters(TrainSettings) if one.study == "detectors"}
    assert budget == {"steps", "batch", "precision", "set"}
