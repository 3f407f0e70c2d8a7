import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Adam

from asbench.detectors import build
from asbench.nets import checkpoint, checkpoint_writer
from asbench.nets.checkpoint_writer import CheckpointWriter
from asbench.nets.detector import Stage
from asbench.nets.weights import load_weights, save_weights
from synth_store.types import UserError

SMALL = {"width": 2, "seg_width": 2}


def test_weights_come_back_to_the_bit(tmp_path):
    first, second = build("draem", 0, SMALL), build("draem", 1, SMALL)
    first.to(memory_format=torch.channels_last)
    save_weights(first, tmp_path / "deep" / "weights.safetensors")
    load_weights(second, tmp_path / "deep" / "weights.safetensors")
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["weights.safetensors"]
    # The names in the file are the module's own: another program can read them.
    assert load_file(tmp_path / "deep" / "weights.safetensors").keys() == first.state_dict().keys()


def test_an_empty_buffer_takes_the_size_of_the_file(tmp_path):
    class WithBank(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.part = nn.Linear(2, 2)
            self.part.register_buffer("bank", torch.rand(size))

    full, empty, other = WithBank(5), WithBank(0), WithBank(4)
    save_weights(full, tmp_path / "w.safetensors")
    load_weights(empty, tmp_path / "w.safetensors")
    assert torch.equal(empty.part.bank, full.part.bank)
    with pytest.raises(UserError, match=r"'part.bank' is \(5,\) there and \(4,\) here"):
        load_weights(other, tmp_path / "w.safetensors")


def change(tensors, name):
    if name == "missing":
        del tensors["segmentation.head.bias"]
    elif name == "shape":
        tensors["segmentation.head.bias"] = torch.zeros(3)
    else:
        tensors["segmentation.tail.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "has no 'segmentation.head.bias'"),
        ("shape", r"'segmentation.head.bias' is \(3,\) there and \(2,\) here"),
        ("extra", "'segmentation.tail.bias' has no place here"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(name, says, tmp_path):
    net = build("draem", 0, SMALL)
    tensors = dict(build("draem", 1, SMALL).state_dict())
    change(tensors, name)
    save_file(tensors, tmp_path / "w.safetensors")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(UserError, match=says):
        load_weights(net, tmp_path / "w.safetensors")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_files_that_are_missing_or_damaged(tmp_path):
    net, path = build("draem", 0, SMALL), tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_weights(net, path)
    save_weights(net, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        load_weights(net, path)


def stage_of(net):
    adam = Adam(net.parameters())
    return Stage("only", 1.0, (net,), (adam,), (), lambda batch: batch.image.sum())


def test_a_failed_write_leaves_the_older_checkpoint(tmp_path):
    net = nn.Linear(3, 2)
    stage = stage_of(net)
    net(torch.ones(1, 3)).sum().backward()
    stage.optimizers[0].step()
    checkpoint.write(tmp_path, net, stage, 1, {"training": {}})
    kept = net.weight.detach().clone()
    stage.optimizers[0].step()
    with pytest.raises(TypeError):
        checkpoint.write(tmp_path, net, stage, 2, {"training": object()})
    assert checkpoint.peek(tmp_path)["step"] == 1
    assert not list(tmp_path.glob(".*"))
    fresh = nn.Linear(3, 2)
    checkpoint.restore(tmp_path, checkpoint.peek(tmp_path), fresh, stage_of(fresh))
    assert torch.equal(fresh.weight, kept)


def test_optimiser_tensors_have_readable_names_and_their_parameters_layout(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3)).to(memory_format=torch.channels_last)
    stage = stage_of(net)
    net(torch.rand(1, 3, 8, 8)).sum().backward()
    stage.optimizers[0].step()
    checkpoint.write(tmp_path, net, stage, 1, {})
    names = set(load_file(tmp_path / "step-00000001.safetensors"))
    assert {"weights/0.weight", "optimizer/0/0.weight/exp_avg"} <= names

    fresh = stage_of(net)
    checkpoint.restore(tmp_path, checkpoint.peek(tmp_path), net, fresh)
    old, new = (s.optimizers[0].state[net[0].weight]["exp_avg"] for s in (stage, fresh))
    assert torch.equal(old, new)
    assert old.stride() == new.stride()


def test_a_damaged_commit_says_what_to_do(tmp_path):
    (tmp_path / checkpoint.COMMIT).write_text("{")
    with pytest.raises(UserError, match="delete the folder"):
        checkpoint.peek(tmp_path)
    assert checkpoint.peek(tmp_path / "none") is None


class Slow:
    """Time and writes of a checkpoint writer, under the test's hand."""

    def __init__(self, monkeypatch):
        self.clock, self.cost, self.written, self.gate = 0.0, 0.0, [], threading.Event()
        self.gate.set()
        monkeypatch.setattr(checkpoint_writer.time, "perf_counter", lambda: self.clock)
        monkeypatch.setattr(checkpoint_writer.checkpoint, "commit", self.commit)

    def commit(self, folder, state):
        assert self.gate.wait(20)
        self.clock += self.cost
        self.written.append((state.step, state.tensors["w"].item()))


def state(step, value=0.0):
    return checkpoint.State(step, {"w": torch.tensor(value)}, {})


def test_a_state_is_copied_and_never_more_than_one_waits(tmp_path, monkeypatch):
    slow = Slow(monkeypatch)
    with CheckpointWriter(tmp_path, seconds=0.0) as writer:
        slow.gate.clear()
        first = state(1, 1.0)
        assert writer.due()
        writer.later(first)
        first.tensors["w"].zero_()
        assert not writer.due()  # the one before is being written
        slow.gate.set()
        writer.later(state(2, 2.0))  # waits for it
        assert slow.written[0] == (1, 1.0)
        writer.now(state(3, 3.0))
        assert slow.written == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_checkpoints_take_a_hundredth_of_the_time_at_most(tmp_path, monkeypatch):
    slow = Slow(monkeypatch)
    with CheckpointWriter(tmp_path, seconds=60.0) as writer:
        slow.clock = 59.0
        assert not writer.due()
        slow.clock, slow.cost = 60.0, 2.0
        assert writer.due()
        writer.now(state(1))
        slow.clock = 60.0 + 199.0
        assert not writer.due()
        slow.clock = 60.0 + 200.0
        assert writer.due()


def test_what_goes_wrong_in_the_thread_is_raised_once(tmp_path, monkeypatch):
    def full(folder, state):
        raise UserError("no room")

    monkeypatch.setattr(checkpoint_writer.checkpoint, "commit", full)
    with pytest.raises(UserError, match="no room"), CheckpointWriter(tmp_path, 0.0) as writer:
        writer.later(state(1))
    writer = CheckpointWriter(tmp_path, 0.0)
    writer.later(state(1))
    with pytest.raises(UserError, match="no room"):
        writer.later(state(2))
    with pytest.raises(ValueError, match="other"), writer:
        raise ValueError("other")
