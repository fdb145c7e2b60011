"""What every recipe that trains by the common loop lets its user set. No torch here: workers announce these."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Annotated[int, Field(ge=1, le=10_000, description="Passes over the training data.")] = 10
    batch_size: Annotated[
        int, Field(ge=1, le=1_000_000, description="Examples in one step of the whole job, divided among its ranks.")
    ] = 32
    learning_rate: Annotated[
        float, Field(gt=0, le=10, description="Highest rate; it warms up to it, then falls to zero along a cosine.")
    ] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=10, description="AdamW's decay of the weights.")] = 0.01
    max_gradient_norm: Annotated[
        float | None,
        Field(gt=0, description="Gradients of a larger norm are scaled down to this one, in each step. Unset: never."),
    ] = None
    keep: Annotated[
        Literal["best", "last"],
        Field(description="Which epoch is registered: the best by its score on what is held out, or the last."),
    ] = "best"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Makes split, start and order repeatable.")] = 1
    holdout_fraction: Annotated[
        float, Field(gt=0, lt=1, description="Share kept for evaluation, when the data brings no split of its own.")
    ] = 0.2
    checkpoint_every_steps: Annotated[
        int, Field(ge=0, description="Checkpoints within an epoch as well; 0: only at the end of each epoch.")
    ] = 0
    metrics_every_steps: Annotated[
        int, Field(ge=1, le=10_000, description="Steps whose mean loss makes one point; ranks also agree to stop here.")
    ] = 10
