"""Files of weights: where they are looked for, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asbench.quality.metrics import METRICS, available, load_metrics
from asbench.quality.weights import NETWORKS, find_weights
from synth_store import UserError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_missing_file_is_named_with_where_to_put_it(name: str) -> None:
    network = NETWORKS[name]
    with pytest.raises(UserError) as refused:
        find_weights(name)
    for part in (network.file, network.url, f"--weights {name}=PATH", "ASBENCH_WEIGHTS", "@"):
        assert part in str(refused.value)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_published_file_is_found_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path))
    path = tmp_path / NETWORKS[name].file
    path.touch()
    (tmp_path / "README.txt").touch()
    assert find_weights(name) == path
    assert find_weights(name, {name: path}) == path
    (tmp_path / f"{NETWORKS[name].begins[0]}-2.pth").touch()
    with pytest.raises(UserError, match=f"choose one with --weights {name}="):
        find_weights(name)


def test_what_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such file"):
        find_weights("alexnet", {"alexnet": tmp_path / "none.pth"})
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(UserError, match="no such folder"):
        find_weights("alexnet")
    with pytest.raises(UserError, match="'vgg' are of no use here: choose from inception"):
        load_metrics(["ssim"], {"vgg": tmp_path}, CPU)
    with pytest.raises(UserError, match="'fidd' is unknown: choose ssim, psnr"):
        load_metrics(["fidd"], None, CPU)


def test_what_can_be_had_depends_on_the_files(resnet: Path) -> None:
    bare = {m for m, why in available().items() if not why}
    assert bare == {"ssim", "psnr", "fid@histogram", "kid@histogram"}
    more = {m for m, why in available({"resnet18": resnet}).items() if not why}
    assert more - bare == {m for m in METRICS if "resnet18" in m}


def test_no_stand_in_bears_a_real_name(resnet: Path) -> None:
    from asbench.quality.metrics import network_of

    real = {"ssim", "psnr", "lpips", "lpips_vgg", "fid", "kid", "is"}
    published = {"inception", "alexnet", "vgg16", None}
    for metric in METRICS:
        assert ("@" in metric) == (metric not in real)
        assert "@" in metric or network_of(metric) in published


def test_weights_are_part_of_what_is_recorded(resnet: Path) -> None:
    loaded = load_metrics(["ssim", "fid@resnet18-layer3"], {"resnet18": resnet}, CPU)
    assert list(loaded.weights) == ["resnet18"]
    behind = loaded.digest_behind("effective_number@resnet18-layer3")
    assert behind == loaded.digest_behind("fid@resnet18-layer3") == loaded.weights["resnet18"]
    assert loaded.digest_behind("ssim") == loaded.digest_behind("mask_area") == ""
