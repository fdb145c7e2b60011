"""`vision.classifier`: finds the class of an image."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lepton_core.model_format.features.fit import fit_pixels
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.features.steps import Transpose
from lepton_core.model_format.kinds.classes import CLASS
from lepton_core.model_format.kinds.image import IMAGE
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec
from lepton_trainer.recipes.vision_classifier.data import Images, image_statistics, read_images
from lepton_trainer.recipes.vision_classifier.model import SmallCNN, channels_last, flip, shift
from lepton_trainer.recipes.vision_classifier.settings import Settings
from lepton_trainer.training.loader import Batch, Examples, PipedExamples, TensorExamples
from lepton_trainer.training.recipe import Prepared, Recipe
from lepton_trainer.training.tasks.classification import Classification

# Up to this size, all preprocessed images are kept in memory; else each batch is preprocessed when it is needed.
PREPROCESSED_BYTES = 1024**3
# Number of classes in a line of the run's log.
SHOWN_CLASSES = 50


class VisionClassifier(Recipe[Settings]):
    settings_model = Settings

    def prepare(self, data_dir: Path) -> Prepared:
        images = read_images(data_dir, self.settings)
        signature = _signature(images)
        _, height, width, channels = images.pixels.shape
        return Prepared(
            task=Classification(images.labels),
            train=_examples(images, images.train, signature),
            holdout=_examples(images, images.holdout, signature),
            signature=signature,
            statistics=image_statistics(images),
            description={
                "kind": "images",
                "examples": len(images.pixels),
                "training": len(images.train),
                "held_out": len(images.holdout),
                "split": images.split,
                "dropped": images.dropped,
                "height": height,
                "width": width,
                "channels": channels,
            },
            limits=(
                f"Images are resized to {height} × {width} pixels and read as {'gray' if channels == 1 else 'colour'}.",
                f"The answer is always one of {len(images.labels)} labels, also for an image of something else.",
                f"Measured on {len(images.holdout)} held-out images from the same source as the training images.",
            ),
            notes=(_note(images), _classes(images), *images.notes),
        )

    def model(self, data: Prepared) -> nn.Module:
        _, channels, height, width = data.signature.model_inputs[0].shape
        labels = len(data.signature.labels)
        network = SmallCNN(channels, height, width, labels, self.settings.width, self.settings.dropout)
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = channels_last(parameter.data)
        return network

    def augment(self, batch: Batch) -> Batch:
        images = batch.inputs[0]
        if self.settings.augment != "none":
            images = shift(images, largest=max(1, max(images.shape[2:]) // 8))
        if self.settings.augment == "shift_flip":
            images = flip(images)
        return Batch((channels_last(images),), batch.targets)


def _note(images: Images) -> str:
    _, height, width, _ = images.pixels.shape
    parts = f"{len(images.train)} images to train on, {len(images.holdout)} held out ({images.split})"
    return f"data: {parts}, {len(images.labels)} classes; {height} x {width} pixels"


def _classes(images: Images) -> str:
    counts = np.bincount(images.classes)
    shown = ", ".join(f"{label} ({count})" for label, count in zip(images.labels[:SHOWN_CLASSES], counts, strict=False))
    more = len(images.labels) - SHOWN_CLASSES
    return f"data: images of each class: {shown}" + (f" and {more} classes more" if more > 0 else "")


def _signature(images: Images) -> Signature:
    _, height, width, channels = images.pixels.shape
    return Signature(
        input_kind=IMAGE.name,
        output_kind=CLASS.name,
        inputs=(TensorSpec(name="image", datatype=Datatype.UINT8, shape=(-1, height, width, channels)),),
        steps=(
            fit_pixels(images.pixels[images.train], "image", "normalized"),
            Transpose(input="normalized", output="pixels", order=(0, 3, 1, 2)),
        ),
        model_inputs=(TensorSpec(name="pixels", datatype=Datatype.FP32, shape=(-1, channels, height, width)),),
        outputs=(TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, len(images.labels))),),
        labels=images.labels,
    )


def _examples(images: Images, indices: np.ndarray, signature: Signature) -> Examples:
    pipeline = Pipeline.of(signature)
    pixels, targets = images.pixels[indices], torch.from_numpy(images.classes[indices])
    if pixels.nbytes * 4 > PREPROCESSED_BYTES:
        return PipedExamples({"image": pixels}, targets, pipeline)
    return TensorExamples((torch.from_numpy(pipeline({"image": pixels})["pixels"]),), targets)
