#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What training the giant costs over the vanilla network, on the CPU: time and memory of a step.

    python tools/bench_training_cost.py --resolution 144 --batch 16 --threads 1

Four ways to run: ``naive``, the expanded block as plain ``nn`` modules (with a depthwise
convolution) in torch's default memory format, as one would write it down first; ``modules``, the
same modules channels-last with the scale as a product; ``trained``, what training runs: the same,
and one linear map at alpha 1; ``again``, that with ``train.recompute``. Each is compared with the
vanilla network in the same memory format. Times are CPU seconds of the process (threads add up),
steps of all ways interleaved, median and minimum; memory is what autograd has saved between forward
and backward pass (without what ``again`` keeps of a block's input), and the peak of a fresh process
beyond what it had with the network loaded (Linux).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from netbooster.common.budget import measure_budget  # noqa: E402
from netbooster.common.seeds import reproducible  # noqa: E402
from netbooster.giant.expanded import ExpandedConv, set_recompute  # noqa: E402
from netbooster.giant.expansion import ExpansionConfig, expand, expanded_layers  # noqa: E402
from netbooster.giant.plt import set_alpha  # noqa: E402
from netbooster.models import build_model  # noqa: E402

CLASSES = 100
#: The paper's 310 epochs: 160 of the giant, 40 of decay (alpha is 0.5 on average), 110 of tuning.
SCHEDULE = {0.0: 160 / 310, 0.5: 40 / 310, 1.0: 110 / 310}
#: How the giant runs, and whether channels-last.
WAYS = {"naive": False, "modules": True, "trained": True, "again": True}


class NaiveActivation(nn.Module):
    """Decaying ReLU6 as the formula says it."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        if self.alpha == 1.0:
            return x
        y = F.relu6(x)
        return y if self.alpha == 0.0 else self.alpha * x + (1.0 - self.alpha) * y


class Step:
    """One training step of a fresh network. ``way``: one of ``WAYS``, or "vanilla"."""

    def __init__(self, way: str, alpha: float, last: bool, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        model = build_model(options.model, num_classes=CLASSES, resolution=options.resolution)
        if way != "vanilla":
            model = expand(model, ExpansionConfig())
            set_alpha(model, alpha)
            set_recompute(model, way == "again")
            for _, block in expanded_layers(model):
                assert isinstance(block, ExpandedConv)
                block.fused = way in ("trained", "again")
                if way == "naive":
                    channels = block[0].weight.shape[0]
                    block.conv2 = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
                    block.act1 = NaiveActivation(alpha)
                    block.act2 = NaiveActivation(alpha)
        memory = torch.channels_last if last else torch.contiguous_format
        self.model = model.to(memory_format=memory).train()
        size = (options.batch, 3, options.resolution, options.resolution)
        self.images = torch.randn(size).contiguous(memory_format=memory)
        self.labels = torch.arange(options.batch) % CLASSES
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True
        )

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimizer.step()

    def saved_bytes(self) -> int:
        """Memory that autograd keeps for the backward pass, parameters left out."""
        own = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        kept: dict[int, int] = {}
        alive = []  # or a freed storage's address would come again

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            alive.append(storage)
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            F.cross_entropy(self.model(self.images), self.labels)
        return sum(kept.values())


def peak_of_process(way: str, alpha: float, last: bool, options: argparse.Namespace) -> int:
    """Peak resident bytes that two steps add, in a process of their own."""
    command = [
        sys.executable, __file__, "--model", options.model,
        "--resolution", str(options.resolution), "--batch", str(options.batch),
        "--threads", str(options.threads), "--peak", way, str(alpha), str(int(last)),
    ]  # fmt: skip
    # Freed maps go back to the system at once; else the peak would tell of holes in the heap.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(json.loads(result.stdout))


def print_peak(options: argparse.Namespace) -> None:
    """The child's side of :func:`peak_of_process`."""
    way, alpha, last = options.peak
    step = Step(way, float(alpha), last == "1", options)
    with reproducible(torch.device("cpu"), options.threads):
        # The peak so far is that of loading torch, or even the parent's: begin anew.
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        step()
        step()
    print(_status("VmHWM") - before)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mobilenetv2-tiny")
    parser.add_argument("--resolution", type=int, default=144)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--peak", nargs=3, metavar=("WAY", "ALPHA", "LAST"), help="internal")
    options = parser.parse_args()
    if options.peak:
        print_peak(options)
        return
    runs = [("vanilla", 0.0, False), ("vanilla", 0.0, True)]
    for alpha in options.alphas:
        runs += [(way, alpha, last) for way, last in WAYS.items()]
    steps = {run: Step(*run, options) for run in runs}
    size = (1, 3, options.resolution, options.resolution)
    macs = [measure_budget(steps[run].model, size).macs for run in (runs[0], runs[-1])]
    times: dict[tuple[str, float, bool], list[float]] = {run: [] for run in runs}
    with reproducible(torch.device("cpu"), options.threads):
        for repeat in range(options.repeats + 1):
            for run, step in steps.items():
                begun = time.process_time()
                step()
                if repeat:
                    times[run].append(1e3 * (time.process_time() - begun))
    saved = {run: step.saved_bytes() for run, step in steps.items()}
    steps.clear()
    peaks = {run: peak_of_process(*run, options) for run in runs}
    print(
        f"{options.model}, {options.resolution}x{options.resolution}, batch {options.batch}, "
        f"{options.threads} thread(s), torch {torch.__version__}; "
        f"MACs of the giant over vanilla: {macs[1] / macs[0]:.2f}"
    )
    print("way      alpha  format         CPU ms: median  min     saved MB        peak MB")
    for run in runs:
        way, alpha, last = run
        base = ("vanilla", 0.0, last)
        median, least = statistics.median(times[run]), min(times[run])
        print(
            f"{way:8} {alpha:<5g}  {'channels-last' if last else 'contiguous':13}"
            f" {median:8.1f} ({median / statistics.median(times[base]) - 1:+.0%})"
            f" {least:7.1f} ({least / min(times[base]) - 1:+.0%})"
            f" {saved[run] / 1e6:7.1f} ({saved[run] / saved[base] - 1:+.0%})"
            f" {peaks[run] / 1e6:7.1f} ({peaks[run] / peaks[base] - 1:+.0%})"
        )
    if set(options.alphas) == set(SCHEDULE):
        for way, last in WAYS.items():
            own = sum(s * statistics.median(times[way, a, last]) for a, s in SCHEDULE.items())
            base_time = statistics.median(times["vanilla", 0.0, last])
            print(
                f"over the paper's epochs, {way}: {own:.1f} ms a step, {own - base_time:.1f} ms "
                f"({own / base_time - 1:+.0%}) more than vanilla"
            )


if __name__ == "__main__":
    main()
