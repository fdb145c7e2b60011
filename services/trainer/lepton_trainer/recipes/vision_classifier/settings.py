"""What a job may set for `vision.classifier`. Imported by workers that announce it: no torch, nothing heavy."""

from typing import Annotated, Literal

from pydantic import Field

from lepton_trainer.recipes.settings import TrainSettings

NAME = "vision.classifier"
VERSION = "2"
TITLE = "Image classifier: a small convolutional network for folders of images or NPZ arrays"
RECIPE = "lepton_trainer.recipes.vision_classifier.recipe:VisionClassifier"


class Settings(TrainSettings):
    image_size: Annotated[
        int | None,
        Field(ge=4, le=1024, description="Side in pixels. Unset: the images' own size if all share one, else 64."),
    ] = None
    channels: Annotated[
        Literal["auto", "gray", "rgb"], Field(description="auto: gray if every image is gray, else colour.")
    ] = "auto"
    width: Annotated[
        int, Field(ge=4, le=512, description="Channels of the first layer; later ones have 2 and 4 times.")
    ] = 32
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of features left out in each training step.")] = 0.1
    augment: Annotated[
        Literal["none", "shift", "shift_flip"],
        Field(description="Moves training images by up to an eighth of their side; shift_flip also mirrors them."),
    ] = "none"
    on_bad: Annotated[
        Literal["fail", "drop"],
        Field(description="Files in class folders that are no images: fail names all of them, drop passes over them."),
    ] = "fail"
