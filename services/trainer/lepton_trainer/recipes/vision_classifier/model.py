"""A small convolutional network for images of one fixed size."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# The feature map is reduced until its sides are at most this long, then flattened.
LAST_SIDE = 4


class SmallCNN(nn.Module):
    """Normalised images (batch, channels, height, width) → logits (batch, labels)."""

    def __init__(self, channels: int, height: int, width: int, labels: int, base: int, dropout: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_stage(channels, base, stride=1)])
        features = base
        while max(height, width) > LAST_SIDE:
            wider = min(features * 2, base * 4)
            self.stages.append(_stage(features, wider, stride=2))
            self.stages.append(_stage(wider, wider, stride=1))
            features, height, width = wider, (height + 1) // 2, (width + 1) // 2
        self.dropout = dropout
        self.head = nn.Linear(features * height * width, labels)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for stage in self.stages:
            features = stage(features)
        features = functional.dropout(features.flatten(1), self.dropout, self.training)
        logits: Tensor = self.head(features)
        return logits


def _stage(inputs: int, outputs: int, stride: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def channels_last(pictures: Tensor) -> Tensor:
    """A copy of (batch, channels, height, width) with the memory layout (batch, height, width, channels).

    Convolutions of this size are a seventh faster with it. With one channel, torch's `channels_last` would not change
    the strides, since both layouts are the same bytes; but gradients have other strides then, about which DDP warns.
    """
    return pictures.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)


def shift(images: Tensor, largest: int) -> Tensor:
    """Moves each image by up to `largest` pixels in each direction; new pixels are zero, the mean of all pixels."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (largest, largest, largest, largest))
    offsets = torch.randint(0, 2 * largest + 1, (2, count, 1))
    rows = (offsets[0] + torch.arange(height)).to(images.device)
    columns = (offsets[1] + torch.arange(width)).to(images.device)
    picture = torch.arange(count, device=images.device)
    # The result of the indexing is (count, height, width, channels).
    moved = padded[picture[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def flip(images: Tensor) -> Tensor:
    """Mirrors each image left to right with probability 0.5."""
    chosen = (torch.rand(len(images), 1, 1, 1) < 0.5).to(images.device)
    return torch.where(chosen, images.flip(3), images)
