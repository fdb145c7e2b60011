"""Typed settings, read once in a service's `main.py`.

`LEPTON_<SERVICE>_<FIELD>`, nested fields joined by two underscores (`LEPTON_REGISTRY_STORE__BUCKET`); a TOML file may
hold the same, and the environment wins. An unknown name with our prefix is an error: a typo must not be a default.

Not pydantic-settings: it ignores unknown names in the environment, reads the environment by itself, and would be one
more package in users' environments, while the errors that name variable, value and what is allowed would remain ours.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError

from lepton_core.binding import is_loopback
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.validation import invalid_from, near_matches, summary

Model = TypeVar("Model", bound=BaseModel)

_SECRET_WORDS = ("secret", "token", "password", "credential", "key", "url", "dsn")


class Settings(BaseModel):
    """Base of every service's settings: frozen, nothing unknown, defaults are checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _loopback(listen: str) -> str:
    if listen and not is_loopback(listen):
        raise ValueError("metrics are open to whoever reaches them; allowed: an address of loopback, or empty")
    return listen


MetricsListen = Annotated[
    str,
    AfterValidator(_loopback),
    Field(description="host:port of `/metrics`, for Prometheus on this machine; loopback only. Empty: none."),
]


def load_settings(cls: type[Model], prefix: str, environ: Mapping[str, str], file: Path | None = None) -> Model:
    """Raises INVALID naming the variable, what it holds (never of secrets) and what is allowed."""
    prefix = prefix.rstrip("_") + "_"
    values: dict[str, Any] = _from_file(file) if file else {}
    unknown: list[FieldError] = []
    known = dict(_variables(cls, prefix))
    for name, text in environ.items():
        if not name.startswith(prefix):
            continue
        if name not in known:
            stems = {each.removeprefix(prefix).lower(): each for each in known}
            near = [stems[match] for match in near_matches(name.removeprefix(prefix), stems)]
            hint = f", did you mean {' or '.join(near)}?" if near else ""
            unknown.append(FieldError(name, f"unknown setting{hint}", "", ", ".join(sorted(known))))
            continue
        path, annotation = known[name]
        _put(values, path, _decoded(text, annotation))
    if unknown:
        raise LeptonError(ErrorCode.INVALID, summary(unknown), unknown)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise _named(error, cls, prefix) from None


def _from_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise LeptonError(ErrorCode.INVALID, f"settings file {file}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise LeptonError(ErrorCode.INVALID, f"settings file {file} is not valid TOML: {error}") from None


def _variables(cls: type[BaseModel], prefix: str, path: tuple[str, ...] = ()) -> list[tuple[str, tuple[Any, Any]]]:
    """Every variable's name with its (path, annotation)."""
    found: list[tuple[str, tuple[Any, Any]]] = []
    for name, field in cls.model_fields.items():
        annotation = field.annotation
        here = (*path, name)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found += _variables(annotation, prefix, here)
        else:
            found.append((prefix + "__".join(here).upper(), (here, annotation)))
    return found


def _decoded(text: str, annotation: Any) -> Any:
    """Lists and mappings are JSON, or a list is comma-separated; pydantic reads the rest from text."""
    origin = get_origin(annotation)
    if origin in (dict, list, tuple, set, frozenset):
        stripped = text.strip()
        if stripped[:1] in ("{", "["):
            try:
                return json.loads(stripped)
            except ValueError:
                return text
        if origin is not dict:
            return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _named(error: ValidationError, cls: type[BaseModel], prefix: str) -> LeptonError:
    """The error under the variables' names, with the values of secrets left out."""
    found = invalid_from(error.errors(include_url=False), cls)
    secrets = {name for name, (path, kind) in _variables(cls, prefix) if _is_secret(path[-1], kind)}
    fields = []
    for each in found.fields:
        name = prefix + each.field.replace(".", "__").upper()
        hidden = any(name.startswith(secret) for secret in secrets)
        fields.append(FieldError(name, each.message, "" if hidden else each.value, each.allowed))
    return LeptonError(ErrorCode.INVALID, summary(fields), fields)


def _is_secret(name: str, annotation: Any) -> bool:
    # URLs count: they often carry a password.
    return annotation in (SecretStr, SecretBytes) or any(word in name for word in _SECRET_WORDS)
