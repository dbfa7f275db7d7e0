# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes against one that normalizes the two half-batches separately."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from netbooster.common.errors import NetBoosterError
from netbooster.common.seeds import reproducible
from netbooster.data.sampling import shard_slice
from netbooster.experiment.run import train
from netbooster.experiment.trained import load
from netbooster.training.checkpoint import load_torch
from netbooster.training.distributed import World, join

WORKER = Path(__file__).with_name("distributed_worker.py")
_spec = importlib.util.spec_from_file_location("distributed_worker", WORKER)
assert _spec is not None and _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


def _start_pair(folder: Path, *arguments: str) -> list[tuple[int, str]]:
    """Exit codes and output of two processes, started as `torchrun` starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = str(WORKER.parents[2])
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, str(WORKER), str(folder), *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    return [(process.returncode, out) for process, out in zip(processes, outputs, strict=True)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    for code, output in _start_pair(folder):
        assert code == 0, output
    return folder


def test_loss_and_gradients_are_those_of_one_process_with_two_halves(pair: Path) -> None:
    reference = worker.first_step(worker.make_trainer(None, World(), accumulate=2))
    both = [torch.load(pair / f"step-{rank}.pt") for rank in range(2)]
    assert reference["loss"].item() == pytest.approx(
        both[0]["loss"].item() + both[1]["loss"].item(), rel=1e-6
    )
    for name, expected in reference.items():
        if name == "loss":
            continue
        assert torch.equal(both[0][name], both[1][name]), name
        scale = max(1.0, expected.abs().max().item())
        assert (both[0][name] - expected).abs().max().item() <= 1e-6 * scale, name


def test_one_writer_and_the_metrics_are_of_the_whole_batch(pair: Path) -> None:
    trainer = worker.make_trainer(pair / "reference", World(), accumulate=2)
    with reproducible(trainer.device, 1):
        for phase in worker.PHASES:
            trainer.train_steps(phase)
    ours, theirs = (
        [json.loads(line) for line in (pair / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("run", "reference")
    )
    assert [line["step"] for line in ours] == [2, 3, 4, 6]
    for a, b in zip(ours, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
    final = [torch.load(pair / f"final-{rank}.pt") for rank in range(2)]
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(final[0][name], final[1][name]), name
        torch.testing.assert_close(final[0][name], parameter.detach(), rtol=1e-2, atol=1e-4)


def test_a_dead_worker_is_said_and_the_run_resumes_bit_equal(pair: Path, tmp_path: Path) -> None:
    (zero, said), (one, _) = _start_pair(tmp_path, "4")
    assert one == -signal.SIGKILL
    assert zero == 1 and "another process has died" in said and "Traceback" not in said
    assert load_torch(tmp_path / "run" / "checkpoint.pt", "")["step"] == 4
    for code, output in _start_pair(tmp_path):
        assert code == 0, output
        assert "begins at step 4" in output
    whole, resumed = torch.load(pair / "final-0.pt"), torch.load(tmp_path / "final-0.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_every_method_trains_in_two_processes_as_in_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    finished = [
        train(recipe, one / recipe.name).relative_to(one) for recipe in worker.method_recipes(2)
    ]
    for name in ("teacher", "source"):  # BN statistics of half-batches would make others of them
        shutil.copytree(one / name, two / name)
    for code, output in _start_pair(two, "methods"):
        assert code == 0, output
    for path in finished:
        # what trained, before BN statistics are merged in: theirs are of rank 0's halves
        checkpoint = path / "checkpoint.pt"
        a, b = (load_torch(folder / checkpoint, "") for folder in (one, two))
        assert a["step"] == b["step"] == 2
        for name in a["model"]:
            if "running_" not in name and "num_batches" not in name:
                ours, theirs = a["model"][name], b["model"][name]
                difference = (ours - theirs).abs().max().item()
                assert difference <= 1e-4 * max(1.0, ours.abs().max().item()), (path, name)
        assert load(two / path).meta["steps"] == 2
    routes = [
        load_torch(folder / "routed" / "route" / "step-00000001.pt", "")["state_dict"]
        for folder in (one, two)
    ]
    assert list(routes[0]) == list(routes[1])
    torch.testing.assert_close(routes[0]["stem.conv.weight"], routes[1]["stem.conv.weight"])


def test_what_the_writer_cannot_read_stops_every_process(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"no checkpoint")
    for code, output in _start_pair(tmp_path, "99"):  # nobody dies
        assert code == 1 and "checkpoint.pt: damaged" in output and "Traceback" not in output


@pytest.mark.parametrize(("items", "size"), [(16, 2), (7, 3), (5, 5)])
def test_shards_are_the_whole(items: int, size: int) -> None:
    parts = [shard_slice((rank, size), items) for rank in range(size)]
    numbers = [i for part in parts for i in range(items)[part]]
    assert numbers == list(range(items))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert join(torch.device("cpu")) == World(0, 1, 0)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(NetBoosterError, match="process 1 cannot join.*two"):
        join(torch.device("cpu"))


@pytest.mark.slow
def test_torchrun_trains_through_the_command_line(tmp_path: Path) -> None:
    recipe = tmp_path / "two.toml"
    recipe.write_text(
        """
        name = "two"
        data = { name = "digits", resolution = 32, channels = 1 }
        model = { name = "mobilenetv2-tiny" }
        train = { steps = 6, batch_size = 16, lr = 0.01, ema_decay = 0.9, accumulate = 2 }
        """
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    train = ["-m", "deploy.cli", "train", str(recipe), "--output", str(tmp_path / "run")]
    command = [*launch, *train]
    root = str(WORKER.parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    for expected in ("run: train", "run: finished, skipped"):
        result = subprocess.run(
            command, env=environment, cwd=root, capture_output=True, text=True, timeout=280
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.count(expected) == 1  # one process prints
        assert result.stdout.count("done; next: netbooster quantize") == 1
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"checkpoint.pt", "giant.pt", "metrics.jsonl"} <= files


@pytest.mark.slow
def test_torchrun_says_that_a_worker_was_killed_and_goes_on_afterwards(tmp_path: Path) -> None:
    recipe = tmp_path / "killed.toml"
    recipe.write_text(
        """
        name = "killed"
        method = "netaug"
        data = { name = "digits", resolution = 32, channels = 1 }
        model = { name = "mobilenetv2-tiny" }
        train = { steps = 20, batch_size = 16, checkpoint_every = 1, threads = 1 }
        netaug = { bn_images = 32 }
        """
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    train = ["-m", "deploy.cli", "train", str(recipe), "--output", str(tmp_path / "run")]
    root = str(WORKER.parents[2])
    options: dict[str, Any] = {
        "env": {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        "cwd": root,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    with subprocess.Popen([*launch, *train], **options) as process:
        while not checkpoint.is_file() and process.poll() is None:
            time.sleep(0.05)
        os.kill(_worker_of(process.pid, rank=1), signal.SIGKILL)
        _, errors = process.communicate(timeout=280)
    assert process.returncode != 0
    assert "another process has died" in errors or "stopped by torchrun" in errors
    assert "run the same command again" in errors
    step = load_torch(checkpoint, "")["step"]
    assert 1 <= step < 20
    again = subprocess.run([*launch, *train], timeout=580, **options)
    assert again.returncode == 0, again.stderr
    assert f"resuming from step {step}" in again.stdout
    assert load(tmp_path / "run").meta["steps"] == 20


def _worker_of(launcher: int, rank: int) -> int:
    """The process id of one worker of a torchrun."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in map(int, children):
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return child
    raise AssertionError(f"no worker {rank} among {children}")
