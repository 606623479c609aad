"""Train the model tiny on pictures that are drawn while it trains.

    python -m training.train --minutes 180 [--run training/runs/one] [--workers 2] [--device cuda]

Stopped or killed, the same command goes on from the last checkpoint (one every two minutes). At the end
`RUN/model.pt` holds the averaged weights, which `python -m training.pack` packs. `--steps` instead of
`--minutes` makes the length independent of the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn
from torch.nn import functional

from training.drawers import Drawers, Tensors
from training.pictures import PREPARED, Prepared
from training.start import start_from
from training.tower import TinyClip

SAVE_SECONDS = 120
LONGEST_STEP_SECONDS = 60  # a run that was stopped and continued has not used that time
LOG_STEPS = 50
RANKS_SCALE = 30.0


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (N, side, side, 3) into CLIP's normalised float32 (N, 3, side, side)."""
    mean, deviation = (
        torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) * 255
        for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    floats = (pictures.permute(0, 3, 1, 2).float() - mean) / deviation
    return floats.contiguous(memory_format=torch.channels_last)


def losses_of(model: TinyClip, batch: Tensors, smoothing: float) -> Tensors:
    """Return the losses by name; "accuracy" is the share of pictures whose own caption is nearest."""
    pictures = model.encode_pictures(normalised(batch["pictures"])).float()
    captions = model.encode_captions(batch["tokens"])
    images = functional.normalize(pictures, dim=-1)
    logits = model.clip.logit_scale.exp() * images @ captions.T
    logits = logits.masked_fill(batch["also_true"], -1e4)
    own, count = torch.arange(len(images), device=images.device), len(images)
    both_ways = functional.cross_entropy(logits, own) + functional.cross_entropy(logits[:, :count].T, own)
    concepts = functional.normalize(model.concepts.weight, dim=-1)

    def labelled(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        chosen = labels >= 0
        if not chosen.any():
            return scores.sum() * 0
        return functional.cross_entropy(scores[chosen], labels[chosen], label_smoothing=smoothing)

    losses = {
        "contrast": both_ways / 2,
        "pairs": loss_of_pairs(model, images @ captions.T, batch["also_true"]),
        "ranks": loss_of_ranks(images @ captions.T, batch["also_true"]),
        "concept": labelled(20 * images @ concepts.T, batch["concepts"]),
        "caption_concept": labelled(20 * captions[:count] @ concepts.T, batch["named"]),
        "colour": labelled(model.colours(pictures), batch["colours"]),
        "letters": labelled(model.letters(pictures).view(-1, 27), batch["letters"].flatten()),
    }
    return losses | {"accuracy": (logits[:, :count].argmax(dim=1) == own).float().mean()}


def loss_of_pairs(model: TinyClip, cosines: torch.Tensor, also_true: torch.Tensor) -> torch.Tensor:
    """Ask of every picture and caption by itself whether they belong together.

    The contrast only orders the captions of one picture; this one makes scores comparable between prompts, which
    is what tells a thing that is there from one that is not. Source: Zhai et al., "Sigmoid Loss for Language Image
    Pre-Training", 2023.
    """
    logits = model.pair_scale.exp() * cosines.float() + model.pair_bias
    truth = torch.eye(*cosines.shape, device=cosines.device)
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return each.masked_fill(also_true, 0.0).sum(dim=1).mean()


def loss_of_ranks(cosines: torch.Tensor, also_true: torch.Tensor) -> torch.Tensor:
    """Ask of every picture and its caption that they fit better than any wrong pair of the whole batch.

    The best of many patches decides whether a thing is found, so it is the few best wrong pairs that count, those of
    other prompts too: the contrast against all pairs at once weighs them most.
    """
    logits = RANKS_SCALE * cosines.float()
    own = logits.diagonal()
    wrong = logits.masked_fill(also_true | torch.eye(*logits.shape, dtype=torch.bool, device=logits.device), -math.inf)
    return functional.softplus(wrong.flatten().logsumexp(dim=0) - own).mean()


def make_optimizer(model: TinyClip, config: dict[str, Any]) -> torch.optim.AdamW:
    """AdamW that decays matrices, but neither positions nor anything with one dimension."""
    decayed: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            (decayed if weight.ndim > 1 and "positional" not in name else other).append(weight)
    groups = [
        {"params": decayed, "weight_decay": config["weight_decay"]},
        {"params": other, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config["learning_rate"], betas=(0.9, 0.98), eps=1e-7)


class Training:
    """A run: model, average, optimizer, and how far it is; saved and resumed as a whole."""

    def __init__(self, arguments: argparse.Namespace, config: dict[str, Any]) -> None:
        self.arguments, self.config = arguments, config
        self.device = torch.device(arguments.device)
        torch.manual_seed(config["seed"])
        prepared = Prepared(PREPARED)
        self.model = TinyClip(prepared)
        self.path = arguments.run / "checkpoint.pt"
        if arguments.start and not self.path.exists():
            start_from(self.model, arguments.start, prepared)
        self.model.to(self.device)
        self.model.clip.visual.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, config)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        if self.path.exists():
            self._resume()

    @property
    def progress(self) -> float:
        """How much of the run is done, from 0 to 1."""
        if self.arguments.steps:
            return float(self.step / self.arguments.steps)
        return float(self.seconds / (60 * self.arguments.minutes))

    @property
    def phase(self) -> int:
        """The index of the phase that the run is in."""
        return next((i for i, p in enumerate(self.config["phases"]) if self.progress < p["until"]), -1)

    def _resume(self) -> None:
        saved = torch.load(self.path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average, self.step, self.seconds = saved["average"], saved["step"], saved["seconds"]
        print(f"goes on from step {self.step}", flush=True)

    def save(self) -> None:
        """Write the checkpoint so that a kill at any moment leaves a whole one."""
        state = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "average": self.average, "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        unfinished = self.path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self.path)

    def train_step(self, batch: Tensors) -> Tensors:
        """Take one step; return the losses and the accuracy."""
        moved = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            losses = losses_of(self.model, moved, self.config["label_smoothing"])
        weights = {"contrast": 1.0} | self.config["losses"] | self.config["phases"][self.phase].get("losses", {})
        total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
        self.optimizer.zero_grad()
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.model.clip.logit_scale.data.clamp_(max=math.log(100))
        self._follow()
        self.step += 1
        return {name: value.detach() for name, value in losses.items()}

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.config["warmup_steps"])
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        return float(self.config["learning_rate"] * warm * (0.985 * cosine + 0.015))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the model, faster at the beginning."""
        keep = min(self.config["average"], (self.step + 1) / (self.step + 20))
        current = self.model.state_dict()
        floating = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[name] for name in floating], [current[name] for name in floating], 1 - keep)

    def export(self) -> Path:
        """Write the averaged model as open_clip's state dict."""
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        path: Path = self.arguments.run / "model.pt"
        torch.save(self.model.export(), path)
        self.model.load_state_dict(kept)
        return path


def run(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Train until the time or the steps are used up."""
    arguments.run.mkdir(parents=True, exist_ok=True)
    (arguments.run / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    training = Training(arguments, config)
    recent: deque[Tensors] = deque(maxlen=LOG_STEPS)
    first_seed = 1000 * (config["seed"] + training.step)
    with (
        (arguments.run / "log.txt").open("a") as log,
        Drawers(config, arguments.workers, first_seed) as drawers,
    ):
        drawers.wait()
        last = saved = time.monotonic()
        while training.progress < 1:
            drawers.phase = training.phase
            recent.append(training.train_step(drawers.take()))
            now = time.monotonic()
            training.seconds, last = training.seconds + min(now - last, LONGEST_STEP_SECONDS), now
            if training.step % LOG_STEPS == 0:
                report(training, recent, log)
            if now - saved > SAVE_SECONDS:
                training.save()
                saved = now
    training.save()
    print(f"{training.export()}: {training.step} steps, {training.step * config['num_pictures']:,} pictures")


def report(training: Training, recent: deque[Tensors], log: Any) -> None:
    """Print one line about the last steps and write it to the log."""
    means = {name: float(torch.stack([v[name] for v in recent]).mean()) for name in recent[0]}
    speed = training.step * training.config["num_pictures"] / max(1e-9, training.seconds)
    side = training.config["phases"][training.phase]["side"]
    line = f"step {training.step} {training.seconds / 60:.1f} min side {side} {speed:.0f} pictures/s "
    line += " ".join(f"{name} {value:.3g}" for name, value in means.items())
    print(line, flush=True)
    log.write(line + "\n")
    log.flush()


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, default=0.0)
    length.add_argument("--steps", type=int, default=0)
    parser.add_argument("--run", type=Path, default=Path("training/runs/one"))
    parser.add_argument("--start", type=Path, help="packed weights to begin at, instead of at random ones")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    run(arguments, json.loads(arguments.config.read_text()))


if __name__ == "__main__":
    main()
