"""Writes the model package of `lepton.log_model`, with the torch and onnxruntime of the script that calls it."""

import contextlib
import importlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton.package_trial import open_session, try_package
from lepton_core.model_format.kinds.classes import CLASS
from lepton_core.model_format.kinds.tensor import TENSOR_OUT
from lepton_core.model_format.onnx_quiet import quiet_exporter
from lepton_core.model_format.package_check import check_package
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec
from lepton_core.workspace_files import write_file

_DATATYPES = {
    "torch.bool": Datatype.BOOL,
    "torch.uint8": Datatype.UINT8,
    "torch.int8": Datatype.INT8,
    "torch.int16": Datatype.INT16,
    "torch.int32": Datatype.INT32,
    "torch.int64": Datatype.INT64,
    "torch.float16": Datatype.FP16,
    "torch.float32": Datatype.FP32,
    "torch.float64": Datatype.FP64,
}
# Largest difference between the answers of the exported model and the module, on the example.
TOLERANCE = 1e-3


def unfinished(folder: Path) -> Path:
    """The folder in which the package is written until it is complete. A refused package stays there."""
    return folder.with_name(f".{folder.name}.writing")


def write_package(
    folder: Path,
    model: Any,
    *,
    example: Any,
    signature: Signature | Mapping[str, Any] | None,
    labels: Sequence[str],
    logits: bool,
    card: Mapping[str, Any],
) -> None:
    """Writes the package to `folder`, atomically. After an error, the files are in `unfinished(folder)`.

    Raises TypeError if `model` is not a model, ValueError or INVALID if it cannot be served.
    """
    given = Signature.model_validate(signature) if isinstance(signature, Mapping) else signature
    temporary = unfinished(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        described = _export(torch, model, example, temporary, given, labels, logits=logits)
    elif isinstance(model, str | Path) and given is not None:
        shutil.copyfile(model, temporary / "model.onnx")
        described = given
        _check_labels(described)
    else:
        raise TypeError(
            f"the model is of type {type(model).__name__}; allowed: a torch module with `example=`, or the path of an"
            " ONNX file with `signature=`"
        )
    write_file(temporary / "signature.json", described.to_json().encode())
    write_file(temporary / "card.json", json.dumps(card, indent=1).encode())
    check_package(temporary)
    try_package(temporary, described, example)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _export(
    torch: Any,
    model: Any,
    example: Any,
    folder: Path,
    signature: Signature | None,
    labels: Sequence[str],
    *,
    logits: bool,
) -> Signature:
    inputs = example if isinstance(example, tuple | list) else (example,)
    if not inputs or not all(isinstance(tensor, torch.Tensor) and tensor.ndim for tensor in inputs):
        given = "missing" if example is None else f"of type {type(example).__name__}"
        raise TypeError(f"`example` is {given}; allowed: a torch tensor, or a tuple of them, with the batch first")
    # DistributedDataParallel and the like.
    module = model.module if hasattr(model, "module") and type(model).__module__.startswith("torch.") else model
    was_training = module.training
    module.eval()
    tail = [torch.nn.Softmax(dim=1)] if labels and logits else []
    serving = torch.nn.Sequential(module, *tail) if tail else module
    # The exporter would treat a batch of one as a constant.
    doubled = tuple(torch.cat([tensor[:1], tensor[:1]]).detach() for tensor in inputs)
    with torch.no_grad():
        expected = serving(*doubled)
    outputs = _named_outputs(torch, expected)
    described = signature or _describe(doubled, outputs, labels)
    _check_labels(described)
    names = [tensor.name for tensor in described.model_inputs]
    path = folder / "model.onnx"
    with quiet_exporter():
        torch.onnx.export(
            serving,
            doubled,
            path,
            input_names=names,
            output_names=[tensor.name for tensor in described.outputs],
            dynamic_shapes=_dynamic_batch(torch, serving, len(doubled)),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _compare(path, dict(zip(names, doubled, strict=True)), list(outputs.values()))
    with contextlib.suppress(ImportError):
        # Cloned: safetensors refuses tensors that share memory, as tied weights do.
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
        importlib.import_module("safetensors.torch").save_file(tensors, folder / "weights.safetensors")
    module.train(was_training)
    return described


def _named_outputs(torch: Any, expected: Any) -> dict[str, Any]:
    """The outputs by name: the keys of a dict, else `output` or `output_0`, `output_1`, …. ValueError for NaN."""
    if isinstance(expected, Mapping):
        outputs = {str(name): tensor for name, tensor in expected.items()}
    elif isinstance(expected, tuple | list):
        outputs = {f"output_{place}": tensor for place, tensor in enumerate(expected)}
    else:
        outputs = {"output": expected}
    if len(outputs) == 1 and not isinstance(expected, Mapping):
        outputs = {"output": next(iter(outputs.values()))}
    for name, tensor in outputs.items():
        if not isinstance(tensor, torch.Tensor):
            allowed = "a tensor, a tuple or list of tensors, or a dict of tensors by name"
            raise TypeError(f"the model answers {name} as {type(tensor).__name__}; allowed: {allowed}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"the model answers {name} with NaN or infinity on the example, and cannot be served")
    return outputs


def _check_labels(signature: Signature) -> None:
    """Raises ValueError unless the labels are unique, and as many as the probabilities."""
    labels = signature.labels
    if not labels:
        return
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"labels: {twice[0]!r} is there more than once; each label must be unique")
    classes = signature.outputs[0].shape[-1]
    if classes not in (-1, len(labels)):
        raise ValueError(f"labels: got {len(labels)}, but the model has {classes} outputs; allowed: exactly {classes}")


def _describe(inputs: Sequence[Any], outputs: Mapping[str, Any], labels: Sequence[str]) -> Signature:
    takes = tuple(_spec("input" if len(inputs) == 1 else f"input_{place}", each) for place, each in enumerate(inputs))
    if labels and len(outputs) != 1:
        raise TypeError(f"with labels the model must answer one tensor, not {len(outputs)}: {', '.join(outputs)}")
    gives = tuple(_spec("probabilities" if labels else name, each) for name, each in outputs.items())
    kind = CLASS.name if labels else TENSOR_OUT.name
    return Signature(output_kind=kind, inputs=takes, model_inputs=takes, outputs=gives, labels=tuple(map(str, labels)))


def _spec(name: str, tensor: Any) -> TensorSpec:
    datatype = _DATATYPES.get(str(tensor.dtype))
    if datatype is None:
        raise TypeError(f"{name} has the type {tensor.dtype}; allowed: {', '.join(_DATATYPES)}")
    return TensorSpec(name=name, datatype=datatype, shape=(-1, *tensor.shape[1:]))


def _dynamic_batch(torch: Any, serving: Any, count: int) -> Any:
    """Makes the first dimension of each input dynamic. A forward with *args needs one nested entry for all of them."""
    import inspect

    each = tuple({0: torch.export.Dim.DYNAMIC} for _ in range(count))
    parameters = inspect.signature(serving.forward).parameters.values()
    return (each,) if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters) else each


def _compare(path: Path, feed: Mapping[str, Any], expected: Sequence[Any]) -> None:
    """Raises ValueError if the outputs of the exported model differ from the module's."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return
    session = open_session(runtime, path)
    answers = session.run(None, {name: tensor.cpu().numpy() for name, tensor in feed.items()})
    for answer, wanted in zip(answers, expected, strict=True):
        reference = wanted.detach().cpu().numpy()
        if answer.shape == reference.shape and reference.dtype == bool:
            differs = bool((answer != reference).any())
        else:
            differs = answer.shape != reference.shape or bool(
                abs(answer - reference).max() > TOLERANCE * (1 + abs(reference).max())
            )
        if differs:
            raise ValueError(
                "the outputs of the exported model differ from the module's; export it yourself and log the ONNX file"
            )
