"""The loop, its checkpoints and resuming. Run as a script, it is the process that gets killed."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from asbench.detectors import build
from asbench.nets import checkpoint
from asbench.nets.augment import random_rotation
from asbench.nets.detector import Batch, Detector, Protocol, Stage
from asbench.nets.seeds import address_generator
from asbench.training.loop import fit, stage_ends, stage_of
from synth_store.types import UserError

pytestmark = pytest.mark.slow


class TwoStage(Detector):
    """A teacher leg with SGD, then a student leg with AdamW; dropout, a bank, two schedules."""

    title = paper = url = "toy"
    protocol = Protocol(batch=4, ratio=0.5, steps=20, augment=random_rotation)
    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)
        )
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.3))
        self.register_buffer("bank", torch.empty(0))
        self.modes: list[tuple[bool, bool]] = []

    def prepare(self, normals, generator):
        self.bank = torch.rand(5, generator=generator) + normals.float().mean()

    def stages(self, steps):
        sgd = SGD(self.first.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        adamw = AdamW(self.second.parameters(), lr=3e-3, fused=True)
        return (
            Stage(
                "first",
                0.4,
                (self.first,),
                (sgd,),
                (CosineAnnealingLR(sgd, steps),),
                lambda batch: self.loss(batch, self.first(batch.image)),
            ),
            Stage(
                "second",
                0.6,
                (self.second,),
                (adamw,),
                (LambdaLR(adamw, lambda step: 1 / (1 + step)),),
                lambda batch: self.loss(batch, self.second(self.first(batch.image))),
            ),
        )

    def loss(self, batch, features):
        self.modes.append((self.first.training, self.second.training))
        return F.mse_loss(features.mean(1, keepdim=True), batch.mask)

    def forward(self, images):
        return self.second(self.first(images)).mean(1)

    def image_scores(self, maps):
        return maps.amax((1, 2))


def toy():
    torch.manual_seed(0)
    return TwoStage()


def small_draem():
    return build("draem", 0, {"width": 2, "seg_width": 2, "lr": 1e-3})


MAKERS = {"toy": toy, "draem": small_draem}


def batch_at(step, size=32, count=4):
    """Grey noise; on every other item a bright square with its mask."""
    generator = address_generator("test", step)
    clean = torch.rand(count, 3, size, size, generator=generator) * 0.2 + 0.3
    mask = torch.zeros(count, 1, size, size)
    for item in range(0, count, 2):
        y, x = torch.randint(0, size // 2, (2,), generator=generator).tolist()
        mask[item, :, y : y + size // 3, x : x + size // 3] = 1
    return Batch(clean * (1 - mask) + 0.9 * mask, clean, mask)


def train(detector, folder, **changes):
    settings = {"steps": 20, "seed": 3, "device": "cpu", "folder": folder}
    return fit(detector, changes.pop("batch_at", batch_at), **(settings | changes))


def stop_at(step):
    """Return a `stop` that is false `step` times."""
    asked = iter(range(step + 1))
    return lambda: next(asked) == step


def assert_equal_to_the_bit(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("name", MAKERS)
def test_stopping_and_resuming_changes_nothing(name, tmp_path):
    straight = MAKERS[name]()
    whole = train(straight, tmp_path / "straight")
    assert whole.done
    assert [step for step, _ in whole.losses] == list(range(20))

    steps = 0
    for pause in (7, 1, 5, None):  # the toy's border is at 8: before it, on it, after it
        pieces = MAKERS[name]()  # nothing but the folder carries over
        found = train(pieces, tmp_path / "pieces", stop=pause and stop_at(pause))
        steps = steps + pause if pause else 20
        assert found.steps == steps
        assert found.done == (pause is None)
        assert found.losses == whole.losses[:steps]
    assert_equal_to_the_bit(straight, pieces)


@pytest.mark.parametrize("name", MAKERS)
def test_a_killed_process_is_resumed_by_another(name, tmp_path):
    straight, resumed = MAKERS[name](), MAKERS[name]()
    whole = train(straight, tmp_path / "straight")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    threads = str(torch.get_num_threads())
    killed = subprocess.run(
        [sys.executable, __file__, name, str(tmp_path / "killed"), threads], env=env, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint.peek(tmp_path / "killed")["step"] == 12
    found = train(resumed, tmp_path / "killed")
    assert found.losses == whole.losses
    assert_equal_to_the_bit(straight, resumed)


@pytest.mark.parametrize("name", MAKERS)
def test_what_a_thread_writes_is_resumed_as_if_nothing_had_been(name, tmp_path):
    """Killed while a thread may be writing: whatever stands is a whole state of some step."""
    straight, resumed = MAKERS[name](), MAKERS[name]()
    whole = train(straight, tmp_path / "straight")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, name, str(tmp_path / "killed")]
    threads = str(torch.get_num_threads())
    killed = subprocess.run([*command, threads, "by the clock"], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert 1 <= checkpoint.peek(tmp_path / "killed")["step"] <= 13
    assert train(resumed, tmp_path / "killed").losses == whole.losses
    assert_equal_to_the_bit(straight, resumed)


def test_writing_checkpoints_changes_nothing_and_ends_with_the_training(tmp_path):
    straight, often = toy(), toy()
    whole = train(straight, tmp_path / "straight")
    found = train(often, tmp_path / "often", checkpoint_seconds=0.0)
    assert found.losses == whole.losses
    assert_equal_to_the_bit(straight, often)
    assert not [t for t in threading.enumerate() if t.name.startswith("checkpoint")]


def test_a_finished_training_returns_at_once(tmp_path):
    first, again = toy(), toy()
    whole = train(first, tmp_path)
    found = train(again, tmp_path, batch_at=lambda step: pytest.fail("trained again"))
    assert found == whole
    assert_equal_to_the_bit(first, again)


def test_stages_train_their_parts_alone(tmp_path):
    detector = toy()
    first = [p.clone() for p in detector.first.parameters()]
    train(detector, tmp_path, steps=10, stop=stop_at(4))
    assert detector.modes == [(True, False)] * 4
    moved = [p.clone() for p in detector.first.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(first, moved, strict=True))
    train(detector, tmp_path, steps=10)
    assert detector.modes[4:] == [(False, True)] * 6
    assert all(map(torch.equal, detector.first.parameters(), moved))


def test_the_seed_decides_and_the_global_state_stays(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = [toy() for _ in range(3)]
    torch.manual_seed(5)
    for place, (detector, seed) in enumerate(zip(runs, (1, 1, 2), strict=True)):
        train(detector, tmp_path / str(place), seed=seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert_equal_to_the_bit(runs[0], runs[1])
    assert not torch.equal(runs[0].first[0].weight, runs[2].first[0].weight)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MAKERS)
def test_cuda_trains_and_resumes(name, precision, tmp_path):
    settings = {"device": "cuda", "precision": precision, "batch_at": on_cuda}
    state = torch.cuda.get_rng_state()
    stopped = train(MAKERS[name](), tmp_path, stop=stop_at(9), **settings)
    found = train(MAKERS[name](), tmp_path, **settings)
    assert found.done
    assert found.losses[:9] == stopped.losses
    assert all(math.isfinite(loss) for _, loss in found.losses)
    assert torch.equal(torch.cuda.get_rng_state(), state)


def on_cuda(step):
    batch = batch_at(step)
    return Batch(batch.image.cuda(), batch.clean.cuda(), batch.mask.cuda())


@pytest.mark.parametrize("name", MAKERS)
def test_bf16_runs_on_the_cpu_and_keeps_float32_weights(name, tmp_path):
    detector, other = MAKERS[name](), MAKERS[name]()
    found = train(detector, tmp_path / "bf16", precision="bf16", steps=4)
    train(other, tmp_path / "fp32", precision="fp32", steps=4)
    assert all(math.isfinite(loss) for _, loss in found.losses)
    assert all(p.dtype == torch.float32 for p in detector.parameters())
    assert any(
        not torch.equal(a, b)
        for a, b in zip(detector.parameters(), other.parameters(), strict=True)
    )


def test_progress_and_the_length_of_the_curve(tmp_path, monkeypatch):
    monkeypatch.setattr("asbench.training.loop.CURVE", 5)
    seen = []
    found = train(toy(), tmp_path, progress=lambda step, loss: seen.append((step, loss)))
    assert [step for step, _ in found.losses] == [0, 4, 8, 12, 16]
    assert [step for step, _ in seen] == list(range(1, 21))
    assert seen[4][1] == found.losses[1][1]


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    def broken(step):
        batch = batch_at(step)
        return batch if step < 6 else Batch(batch.image * math.nan, batch.clean, batch.mask)

    with pytest.raises(UserError, match=r"nan at step 6 of 20: try a smaller learning rate"):
        train(toy(), tmp_path, batch_at=broken, checkpoint_every=4)
    assert checkpoint.peek(tmp_path)["step"] == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": 30}, "its steps is 20, not 30"),
        ({"seed": 4}, "its seed is 3, not 4"),
        ({"precision": "bf16"}, "its precision is 'fp32', not 'bf16'"),
    ],
)
def test_another_training_is_not_resumed(changes, says, tmp_path):
    train(toy(), tmp_path, stop=stop_at(2))
    with pytest.raises(UserError, match=says):
        train(toy(), tmp_path, **changes)


def test_another_detector_is_not_resumed(tmp_path):
    train(toy(), tmp_path, stop=stop_at(2))
    with pytest.raises(UserError, match="its detector is 'TwoStage', not 'Draem'"):
        train(small_draem(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": 0}, "at least 1"),
        ({"precision": "fp16"}, "choose fp32 or bf16"),
        ({"checkpoint_every": 0}, "at least 1"),
    ],
)
def test_arguments_out_of_range(changes, says, tmp_path):
    with pytest.raises(UserError, match=says):
        train(toy(), tmp_path, **changes)


def test_stage_borders():
    stages = toy().stages(10)
    assert stage_ends(stages, 10) == (4, 10)
    assert stage_ends(stages, 1) == (0, 1)
    assert [stage_of(step, (4, 10)) for step in (0, 3, 4, 9, 10)] == [0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="add to"):
        stage_ends(stages[:1], 10)


def test_a_few_dozen_steps_lower_the_loss_and_find_the_squares(tmp_path):
    detector = build("draem", 0, {"width": 4, "seg_width": 8, "lr": 3e-3})
    found = train(detector, tmp_path, steps=60, batch_at=lambda step: batch_at(step, count=8))
    first, last = (
        sum(loss for _, loss in part) / 5 for part in (found.losses[:5], found.losses[-5:])
    )
    assert last < 0.8 * first
    unseen = batch_at(1000, count=8)
    detector.eval()
    with torch.no_grad():
        maps = detector(unseen.image)
    inside, outside = maps[unseen.mask[:, 0] == 1], maps[unseen.mask[:, 0] == 0]
    assert inside.mean() > outside.mean() + 0.3
    scores = detector.image_scores(maps)
    assert scores[::2].min() > scores[1::2].max()


def test_the_checkpoint_is_two_files_and_no_pickle(tmp_path):
    train(toy(), tmp_path, checkpoint_every=6)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.json",
        "step-00000020.safetensors",
    ]
    commit = json.loads((tmp_path / "checkpoint.json").read_text())
    assert commit["training"]["seed"] == 3
    assert commit["stage"] == "second"
    assert commit["versions"]["torch"] == torch.__version__


if __name__ == "__main__":
    NAME, FOLDER, THREADS, *BY_CLOCK = sys.argv[1:]
    OFTEN = {"checkpoint_seconds": 0.0} if BY_CLOCK else {"checkpoint_every": 4}
    torch.set_num_threads(int(THREADS))

    def batch_or_death(step):
        """Die without warning at step 13, one step behind a checkpoint."""
        if step == 13:
            while checkpoint.peek(Path(FOLDER)) is None:
                time.sleep(0.01)  # a thread writes the first
            os.kill(os.getpid(), signal.SIGKILL)
        return batch_at(step)

    train(MAKERS[NAME](), Path(FOLDER), batch_at=batch_or_death, **OFTEN)
