"""A multilayer perceptron over scaled numbers and embedded categories."""

import torch
from torch import Tensor, nn


class TabularMLP(nn.Module):
    """(numbers FP32 (batch, n), missing flags FP32 (batch, m), categories INT64 (batch, c)) → (batch, outputs).

    Inputs that a table does not have are omitted. With `outputs` None, the output is one value for each row, (batch,).
    """

    offsets: Tensor

    def __init__(
        self,
        dense: int,
        categories: list[int],
        hidden: tuple[int, ...],
        embedding: int,
        dropout: float,
        outputs: int | None,
    ) -> None:
        """`dense`: number of columns of numbers and flags; `categories`: entries of each column, including the
        unknown."""
        super().__init__()
        self.scalar = outputs is None
        # One embedding table for all columns, so that there is only one lookup.
        starts = torch.tensor([0, *categories[:-1]]).cumsum(0) if categories else torch.zeros(0, dtype=torch.int64)
        self.register_buffer("offsets", starts)
        self.embedding = nn.Embedding(sum(categories), embedding) if categories else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.1)
            with torch.no_grad():
                # The unknown value has a zero vector.
                self.embedding.weight[starts] = 0
        layers: list[nn.Module] = []
        width = dense + len(categories) * embedding
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.body = nn.Sequential(*layers, nn.Linear(width, 1 if outputs is None else outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.embedding is None:
            features = torch.cat(inputs, dim=1)
        else:
            embedded = self.embedding(inputs[-1] + self.offsets).flatten(1)
            features = torch.cat([*inputs[:-1], embedded], dim=1)
        result: Tensor = self.body(features)
        return result.squeeze(1) if self.scalar else result
