"""The job file: JobSpec, its JSON Schema, and the digest that identifies a repeated submission."""

import re
import warnings
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from lepton_core.errors import LeptonError, invalid
from lepton_core.ids import LABEL_PATTERN, LABEL_RULE, digest_of, parse_reference
from lepton_core.validation import canonical_json, parse, wrong_field

SPEC_VERSION = 1
DIGEST_FORMAT = 1
MAX_TRAIN_BYTES = 64 * 1024
# Of all arguments of a script. Every list of runs shows them.
MAX_ARGUMENT_BYTES = 128 * 1024
MAX_LABELS = 64
MAX_RANKS = 64
SCHEMA_ID = "https://lepton.dev/schemas/job-v1.json"

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,127}")
_RECIPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}(@[0-9A-Za-z][0-9A-Za-z._-]{0,31})?")

Label = Annotated[str, StringConstraints(pattern=LABEL_PATTERN)]
LabelText = Annotated[str, StringConstraints(max_length=256)]


def _argument(value: Any) -> Any:
    """Converts a number, as in `args: [--epochs, 3]`, to the text that the program gets."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


ArgumentText = Annotated[str, StringConstraints(max_length=4096)]
Argument = Annotated[ArgumentText, BeforeValidator(_argument, json_schema_input_type=ArgumentText | int | float)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptSpec(_Part):
    """A program of your own instead of a recipe."""

    entry: str = Field(description="The program, as a path within the code folder.", examples=["train.py"])
    args: list[Argument] = Field([], max_length=256, description="Arguments of the program.")
    code: str = Field(
        "",
        pattern=r"^(sha256:[0-9a-f]{64})?$",
        description="Manifest digest of the code folder; the client fills it in from `folder`.",
    )
    folder: str = Field(
        "",
        exclude=True,
        description="The code folder, relative to the job file. It is uploaded, and replaced by `code`.",
        examples=["."],
    )
    requirements: str = Field(
        "",
        description="A requirements file within the code folder, compared with what the worker has; "
        "nothing is ever installed.",
        examples=["requirements.txt"],
    )

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        for name in ("entry", "requirements"):
            value: str = getattr(self, name)
            if (value or name == "entry") and not _is_inner_path(value):
                raise wrong_field("ScriptSpec", name, "not a relative path within the code folder", value)
        return self

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        size = sum(len(argument.encode(errors="replace")) for argument in self.args)
        if size > MAX_ARGUMENT_BYTES:
            message = f"{size} bytes in total; allowed: {MAX_ARGUMENT_BYTES}"
            raise wrong_field("ScriptSpec", "args", message, None)
        return self


class ResourceSpec(_Part):
    """What the job needs to run."""

    ranks: int = Field(1, ge=1, le=MAX_RANKS, strict=True, description="Processes that train together.", examples=[2])


class RegisterSpec(_Part):
    """Where the trained model goes."""

    model: Label = Field(description="The model whose next version this becomes.", examples=["digits"])
    alias: str = Field(
        "",
        description="An alias to move to the new version; not 'latest', which every model has by itself.",
        examples=["champion"],
        json_schema_extra={"pattern": r"^([A-Za-z][A-Za-z0-9._-]{0,127})?$", "not": {"const": "latest"}},
    )

    @model_validator(mode="after")
    def _check_alias(self) -> Self:
        # Also checked when the alias is moved, but that is after the training, which would then be lost.
        if self.alias and (not _ALIAS.fullmatch(self.alias) or self.alias == "latest"):
            message = f"not an alias; allowed: {LABEL_RULE}; first a letter, and not 'latest'"
            raise wrong_field("RegisterSpec", "alias", message, self.alias)
        return self


class LimitSpec(_Part):
    """Bounds; 0 means the platform's own."""

    max_disk_bytes: int = Field(0, ge=0, lt=2**63, strict=True, description="Disk the workspace may fill, in bytes.")
    timeout_seconds: int = Field(0, ge=0, lt=2**31, strict=True, description="Longest time one attempt may train.")


with warnings.catch_warnings():
    # Every class has ABCMeta's `register`, and instances do not: the field stands in nothing's way. It has to be a
    # field of this very class, since pydantic would take that method for the default of an inherited one.
    warnings.filterwarnings("ignore", message='Field name "register"')

    class JobSpec(_Part):
        """A training job: a recipe (or a script of your own), its data and its settings."""

        spec_version: Literal[1] = Field(1, description="Version of this format.")
        name: Label = Field(description="What people call the job.", examples=["digits"])
        recipe: str = Field(
            "",
            description="What to train: a recipe's name, or name@version. Exactly one of `recipe` and `script`.",
            examples=["vision.classifier", "tabular@1.0"],
        )
        script: ScriptSpec | None = None
        data: str = Field(
            "",
            description="The dataset: name, name@latest, name@<version> or name@sha256:<digest>. "
            "It is resolved to an exact version when the job is accepted.",
            examples=["digits@latest"],
        )
        train: dict[str, Any] = Field(
            {},
            description="Settings of the recipe; `lepton recipe show` lists them.",
            examples=[{"epochs": 12, "batch_size": 32, "learning_rate": 0.002, "seed": 7}],
        )
        resources: ResourceSpec = Field(default_factory=ResourceSpec)
        register: RegisterSpec | None = Field(None, description="Register the result as a version of a model.")
        retries: int = Field(
            2,
            ge=0,
            le=10,
            strict=True,
            description="How often a failed attempt is tried again. Lost machines cost nothing.",
        )
        limits: LimitSpec = Field(default_factory=LimitSpec)
        labels: dict[Label, LabelText] = Field(
            {}, max_length=MAX_LABELS, description="Words of your own, to find it by."
        )

        @model_validator(mode="after")
        def _whole(self) -> Self:
            if bool(self.recipe) == (self.script is not None):
                problem = "both are set" if self.recipe else "neither is set"
                message = f"exactly one of recipe and script is needed, {problem}"
                raise wrong_field("JobSpec", "recipe", message, self.recipe or None)
            if self.recipe and not _RECIPE.fullmatch(self.recipe):
                raise wrong_field("JobSpec", "recipe", "not a recipe: name or name@version", self.recipe)
            if self.recipe and not self.data:
                raise wrong_field("JobSpec", "data", "a recipe needs a dataset, e.g. 'digits@latest'", None)
            if self.data:
                try:
                    parse_reference(self.data, "data")
                except LeptonError as error:
                    found = error.fields[0]
                    message = f"{found.message}; allowed: {found.allowed}"
                    raise wrong_field("JobSpec", "data", message, self.data) from None
            _check_train(self.train)
            return self

        @property
        def recipe_name(self) -> str:
            return self.recipe.partition("@")[0]

        @property
        def recipe_version(self) -> str:
            """Empty when the job leaves the version open."""
            return self.recipe.partition("@")[2]


def parse_job(data: object) -> JobSpec:
    """A JobSpec from a mapping or JSON text; raises INVALID naming each wrong field and near matches."""
    return parse(JobSpec, data)


def check_submittable(spec: JobSpec) -> None:
    """Checks that only a server makes: the code of a script must have been uploaded."""
    if spec.script is None:
        return
    if spec.script.folder:
        raise invalid(("script", "folder"), "a server cannot see the client's folders; upload it and give `code`")
    if not spec.script.code:
        raise invalid(("script", "code"), "required", allowed="the manifest digest of an uploaded code folder")


def canonical_digest(client_set: object, format_number: int = DIGEST_FORMAT) -> str:
    """`<format>:sha256:…` over the canonical JSON of what the client set, before defaults and resolution."""
    return f"{format_number}:{digest_of(canonical_json(client_set).encode())}"


@lru_cache(maxsize=1)
def job_schema() -> dict[str, Any]:
    """JSON Schema of a job file, for editors: descriptions, examples, defaults."""
    schema = JobSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = SCHEMA_ID
    schema["title"] = "Lepton job"
    schema["oneOf"] = [{"required": ["recipe", "data"]}, {"required": ["script"]}]
    order = ["name", "recipe", "script", "data", "train", "resources", "register", "retries", "limits", "labels"]
    schema["properties"] = {name: schema["properties"][name] for name in [*order, "spec_version"]}
    schema["examples"] = [
        {
            "name": "digits",
            "recipe": "vision.classifier",
            "data": "digits@latest",
            "train": {"epochs": 12, "batch_size": 32, "learning_rate": 0.002, "seed": 7},
            "resources": {"ranks": 2},
            "register": {"model": "digits"},
        }
    ]
    return schema


def _is_inner_path(value: str) -> bool:
    path = PurePosixPath(value)
    return (
        0 < len(value) <= 1024
        and "\\" not in value
        and all(" " <= letter != "\x7f" for letter in value)
        and not path.is_absolute()
        and ".." not in path.parts
        and path.name != ""
    )


def _check_train(train: dict[str, Any]) -> None:
    try:
        size = len(canonical_json(train).encode())
    except LeptonError as error:
        raise wrong_field("JobSpec", "train", error.detail, None) from None
    if size > MAX_TRAIN_BYTES:
        raise wrong_field("JobSpec", "train", f"{size} bytes of JSON; allowed: {MAX_TRAIN_BYTES}", None)


__all__ = [
    "DIGEST_FORMAT",
    "SPEC_VERSION",
    "JobSpec",
    "LimitSpec",
    "RegisterSpec",
    "ResourceSpec",
    "ScriptSpec",
    "canonical_digest",
    "canonical_json",
    "check_submittable",
    "job_schema",
    "parse_job",
]
