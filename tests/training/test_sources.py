"""What a mixture trains on: the sets that its names mean, and the samples that may train."""

from fractions import Fraction

import pytest

from asbench.data.validation_part import VALIDATION_MOST
from asbench.training.sources import find_sources
from synth_store import Mix, StoreError, StoreKey, SynthStore, UserError
from tests.synth_store.making import CATEGORY, SMALL, add_normals, generate


def key(method: str, seed: int = 0) -> StoreKey:
    return StoreKey("toy", method, seed)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SynthStore:
    """Sets of 20 samples, some of them variants; `late` has another seed."""
    made = SynthStore.create(tmp_path_factory.mktemp("store"), SMALL)
    for method in ("alone", "one@only", "two@a", "two@b", "both", "both@v"):
        generate(made, 20, key=key(method))
    generate(made, 30, key=key("late", 1))
    return made


def find(store, mix, seed=0, pool=None):
    return find_sources(store, "toy", CATEGORY, Mix.parse(mix), seed, pool)


@pytest.fixture(autouse=True)
def any_name_is_a_method(monkeypatch):
    """These sets are made by no synthesizer: let every name pass for one's."""
    monkeypatch.setattr("asbench.plugins.check", lambda package, name: name)


def test_a_name_means_itself_even_beside_its_variants(store):
    found = find(store, "both:3,alone:1")
    assert found.mix == Mix.parse("alone:0.25,both:0.75")
    assert [s.key for s in found.sets] == [key("alone"), key("both")]


def test_a_bare_name_means_the_only_variant_stored(store):
    found = find(store, "one:1,alone:3")
    assert found.mix == Mix.parse("alone:0.75,one@only:0.25")
    assert [s.key.method for s in found.sets] == ["alone", "one@only"]


def test_a_resolved_name_keeps_its_share_where_the_order_changes(tmp_path):
    store = SynthStore.create(tmp_path, SMALL)
    for method in ("a0", "a@v"):
        generate(store, 10, key=key(method))
    found = find(store, "a:1,a0:3")  # `a` comes before `a0`, `a@v` after it
    assert found.mix.shares == (("a0", Fraction(3, 4)), ("a@v", Fraction(1, 4)))
    assert [s.key.method for s in found.sets] == list(found.mix.names)


def test_two_variants_are_refused_naming_both(store):
    with pytest.raises(UserError, match=r"two could mean two@a or two@b.*name the one you mean"):
        find(store, "two,alone")
    assert find(store, "two@b").mix.names == ("two@b",)


def test_every_missing_set_is_named_with_the_line_that_makes_it(store):
    with pytest.raises(StoreError) as refused:
        find(store, "alone,nope,late")
    said = str(refused.value).splitlines()
    assert "late, nope" in said[0]
    assert said[1:] == [
        f"  asbench generate --store {store.root} --dataset toy --category {CATEGORY} "
        f"--method {method} --seed 0"
        for method in ("late", "nope")
    ]
    assert find(store, "late", seed=1).sets[0].count == 30


def test_sets_of_another_category_or_seed_are_missing(store):
    with pytest.raises(StoreError, match="--category other"):
        find_sources(store, "toy", "other", Mix.parse("alone"), 0, None)
    with pytest.raises(StoreError, match="--seed 1"):
        find(store, "alone", seed=1)


def test_one_set_under_two_names_is_refused(store):
    with pytest.raises(UserError, match=r"one set twice \(one@only:0.5,one@only:0.5\)"):
        find(store, "one,one@only")


def test_an_unfinished_set_is_refused(tmp_path):
    store = SynthStore.create(tmp_path, SMALL)
    normals = add_normals(store)
    made = {"encoding": "residual", "generated": False, "normals": normals.digest}
    store.create_set(key("begun"), CATEGORY, 5, identity=made, versions={})
    with pytest.raises(StoreError, match=r"begun.*does not hold"):
        find(store, "begun")


@pytest.mark.parametrize(
    ("count", "kept"), [(9, 0), (10, 1), (19, 1), (20, 2), (500, 50), (2000, VALIDATION_MOST)]
)
def test_the_last_tenth_is_kept_back(store, monkeypatch, count, kept):
    found = find(store, "alone")
    monkeypatch.setattr(found.sets[0], "count", count)
    assert found.validation_parts() == [(found.sets[0], range(count - kept, count))]


def test_a_pool_is_the_first_samples_of_every_set(store):
    assert find(store, "alone,both").sizes == (18, 18)
    assert find(store, "alone,both", pool=7).sizes == (7, 7)
    assert find(store, "alone", pool=18).sizes == (18,)
    assert [list(part) for _, part in find(store, "alone", pool=7).validation_parts()] == [[18, 19]]


def test_a_pool_that_no_set_can_give_is_refused_with_the_line_that_grows_it(store):
    with pytest.raises(UserError) as refused:
        find(store, "alone", pool=19)
    said = str(refused.value)
    assert "pool 19 is more than toy/alone/0/tile can give: 18 of its 20 samples" in said
    assert said.endswith(
        "--method alone --visible 0 --where as-published --seed 0 -n 69"
    )  # as it began
    with pytest.raises(UserError, match="pool 0 leaves nothing"):
        find(store, "alone", pool=0)


def test_what_is_kept_back_never_trains(store):
    found = find(store, "alone:0.7,both:0.3")
    schedule = found.schedule(Fraction(9, 10), 6, seed=3)
    drawn = {(int(o), int(i)) for step in range(60) for o, i in pairs(schedule, step)}
    kept = {(k, i) for k, (_, part) in enumerate(found.validation_parts(), 1) for i in part}
    assert len(kept) == 4
    assert not drawn & kept
    # and all the rest does
    assert {d for d in drawn if d[0]} == {(k, i) for k in (1, 2) for i in range(18)}


def pairs(schedule, step):
    items = schedule.batch_at(step, 8)
    return zip(items.source, items.index, strict=True)


def test_ratio_0_needs_neither_mix_nor_stored_set(tmp_path):
    found = find_sources(SynthStore.create(tmp_path, SMALL), "toy", CATEGORY, Mix(), 0, None)
    assert found.sets == ()
    assert found.validation_parts() == []
    assert found.schedule(Fraction(0), 4, seed=0).counts(10) == [10]
