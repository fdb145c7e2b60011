"""The page of the Python client, from signatures and docstrings of the public names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel

import lepton
from lepton_core.api.base import Resource

HEAD = """# The Python client

Generated from the code by `python docs/generate.py`. Everything public is in `lepton.__all__`; all else may change.

```
pip install lepton-sdk              # the client and the command
pip install 'lepton-sdk[load]'      # and lepton.load, which needs numpy, ONNX Runtime and Pillow
```

```python
import lepton

client = lepton.Client()            # finds the login that `lepton up` or `lepton login` made
run = client.jobs.submit("digits.yaml").wait()
client.models.promote(run.model_version, alias="champion")
```
"""
GROUPS = ("datasets", "jobs", "runs", "models", "deployments", "keys", "workers")
IN_A_JOB = ("log", "progress", "checkpoint", "log_model", "data_dir", "resume_dir", "resume_step")


def sdk_page() -> str:
    return "\n".join(part.rstrip() + "\n" for part in _parts())


def _parts() -> Iterator[str]:
    yield HEAD
    yield "## `lepton.Client`\n\n" + _text(lepton.Client)
    yield from (_function(f"client.{name}", member) for name, member in _methods(lepton.Client))
    groups = vars(lepton.Client("http://127.0.0.1:1", "lpk_documentation"))
    for name in GROUPS:
        yield f"## `client.{name}`\n\n" + _text(type(groups[name]))
        yield from (_function(f"client.{name}.{verb}", member) for verb, member in _methods(type(groups[name])))
    yield "## `lepton.Run`\n\n" + _text(lepton.Run)
    yield from (_function(f"run.{name}", member) for name, member in _methods(lepton.Run))
    yield "## In a job\n\nFor programs that run as a job. Outside of one they do nothing, except where it is said."
    yield from (_function(f"lepton.{name}", getattr(lepton, name)) for name in IN_A_JOB)
    yield "## A model without a platform"
    yield _function("lepton.load", lepton.load)
    yield from (_function(f"model.{name}", member) for name, member in _methods(lepton.LoadedModel))
    yield "## Errors\n\n" + _text(lepton.LeptonError) + "\n\nCodes: [errors](errors.md)."
    yield "## Records\n\nWhat calls return, with the names of the HTTP API. Times are microseconds since 1970, UTC."
    yield from (_record(name) for name in lepton.__all__ if _is_record(name))


def _is_record(name: str) -> bool:
    member = getattr(lepton, name)
    return isinstance(member, type) and issubclass(member, BaseModel | Enum)


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(owner).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield name, member


def _function(name: str, member: Any) -> str:
    if isinstance(member, property):
        assert member.fget is not None
        kind = _annotation(inspect.signature(member.fget).return_annotation)
        return f"### `{name}: {kind}`\n\n{_text(member.fget)}"
    return f"### `{name}{_signature(member)}`\n\n{_text(member)}"


def _signature(member: Callable[..., Any]) -> str:
    found, parts, only_names = inspect.signature(member), [], False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not only_names:
            parts.append("*")
        only_names |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        parts.append(_parameter(parameter))
    return f"({', '.join(parts)}) -> {_annotation(found.return_annotation)}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}: {_annotation(parameter.annotation)}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__name__", annotation))


def _text(member: Any) -> str:
    text = inspect.getdoc(member) or ""
    if isinstance(member, type) and member.__doc__ is None:
        return ""
    return text


def _record(name: str) -> str:
    member = getattr(lepton, name)
    if issubclass(member, Enum):
        return f"### `lepton.{name}`\n\n" + ", ".join(f"`{each.value}`" for each in member)
    own = _text(member) if member.__doc__ and member.__doc__ != Resource.__doc__ else ""
    rows = [
        f"| `{field}` | `{_kind(info.annotation)}` | {info.description or ''} |".replace("``", "")
        for field, info in member.model_fields.items()
    ]
    return f"### `lepton.{name}`\n\n{own}\n\n| field | type | |\n|---|---|---|\n".replace(
        "\n\n\n\n", "\n\n"
    ) + "\n".join(rows)


def _kind(annotation: Any) -> str:
    """`list[FileEntry]`, without the modules."""
    text = (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )
    return re.sub(r"(?:\w+\.)+(\w+)", r"\1", text).replace("|", "or")
