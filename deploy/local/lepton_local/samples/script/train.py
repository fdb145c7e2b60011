"""A plain PyTorch program that classifies two spirals. It runs as `python train.py`, by torchrun, or as a Lepton job.

The line with `lepton.log` is optional: it shows the metrics live, and does nothing outside of a job.
"""

import argparse
import math
import os

import torch
import torch.distributed as dist
from torch import nn

import lepton


def spirals(points: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (points, 2) and labels (points,)."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(points) % 2
    radius = torch.rand(points, generator=generator) * 2 + 0.2
    angle = radius * 2.5 + label * math.pi + torch.randn(points, generator=generator) * 0.1
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), label


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--epochs", type=int, default=40)
    epochs = arguments.parse_args().epochs

    ranks, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if ranks > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(7)
    model: nn.Module = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    if ranks > 1:
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    inputs, labels = spirals(2000, seed=rank)
    held_out, answers = spirals(500, seed=1000)

    step = 0
    for epoch in range(epochs):
        for start in range(0, len(inputs), 100):
            loss = nn.functional.cross_entropy(model(inputs[start : start + 100]), labels[start : start + 100])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        with torch.no_grad():
            accuracy = (model(held_out).argmax(1) == answers).float().mean().item()
        lepton.log({"loss": loss.item(), "accuracy": accuracy}, step=step)
        if rank == 0:
            print(f"epoch {epoch + 1}/{epochs}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
    if ranks > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
