"""Bare DDP: the recipe's own network in the loop that a person would write. Run by torchrun.

`torchrun --nproc-per-node 2 -m benchmarks.references.bare_ddp NPZ EPOCHS BATCH RESULT` writes each epoch's samples/s.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lepton_trainer.recipes.vision_classifier.model import SmallCNN


def main(npz: str, epochs: int, batch_size: int, result: str) -> None:
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    with np.load(npz) as arrays:
        images = torch.from_numpy(arrays["images"]).float().permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(arrays["labels"]).long()
    images = (images - images.mean()) / images.std()
    _, channels, height, width = images.shape
    model = DistributedDataParallel(SmallCNN(channels, height, width, int(labels.max()) + 1, 32, 0.1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, fused=True)
    rates = []
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        started = time.perf_counter()
        count = 0
        for start in range(0, len(order) - batch_size + 1, batch_size):
            mine = order[start : start + batch_size][rank::ranks]
            loss = nn.functional.cross_entropy(model(images[mine]), labels[mine])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            count += batch_size
        dist.barrier()
        rates.append(count / (time.perf_counter() - started))
    if rank == 0:
        Path(result).write_text(json.dumps(rates))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
