"""A model package used without a platform: `lepton.load`. Needs the extra `lepton-sdk[load]`, and no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lepton.resources.predictions import one_of
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.kinds import InputKind, decode_instances, encode_outputs
from lepton_core.model_format.package_check import check_package
from lepton_core.model_format.signature import Signature

# Input: raw tensors by name, batch dimension first. Output: the graph's outputs by name.
Run = Callable[[Mapping[str, Any]], dict[str, Any]]


class LoadedModel:
    """Predicts from raw input as the platform does: with the same decoding, preprocessing and graph."""

    def __init__(self, signature: Signature, run: Run) -> None:
        self.signature = signature
        self._run = run

    def predict(self, **inputs: Any) -> dict[str, Any]:
        """The prediction for one example, given as for `Client.predict`: `image=`, `row=`, `text=` or `tensor=`.

        Returns the fields that `:predict` answers for this kind of model, such as `label` and `probabilities`. Raises
        INVALID that names the wrong field.
        """
        kind, value = one_of("one", inputs)
        return self._answers(kind, [kind.to_json(value)])[0]

    def predict_many(self, **inputs: Any) -> list[dict[str, Any]]:
        """One prediction for each example, computed as one batch. Examples are given as for `Client.predict_many`."""
        kind, values = one_of("many", inputs)
        instances = kind.list_to_json(values)
        return self._answers(kind, instances) if instances else []

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The graph's outputs for the raw tensors of `signature.inputs`: numpy arrays, batch dimension first."""
        return self._run(tensors)

    def _answers(self, kind: InputKind, instances: list[Any]) -> list[dict[str, Any]]:
        if not kind.accepts(self.signature):
            raise invalid(kind.one, f"the model takes {self.signature.input_kind!r}, not {kind.name!r}")
        raw = decode_instances(self.signature, instances, kind)
        return encode_outputs(self.signature, self._run(raw))


def load(folder: str | Path, *, threads: int = 1) -> LoadedModel:
    """Loads a model from the folder of its package, as `lepton model download` writes it.

    `threads`: number of threads that compute one batch. Raises INVALID if the folder is not a model package, and
    FAILED_PRECONDITION if a package of the extra `lepton-sdk[load]` is not installed.
    """
    if not Path(folder).is_dir():
        problem = "a file" if Path(folder).exists() else "no such folder"
        raise invalid(
            "folder", problem, str(folder), "the folder of a model package, as `lepton model download` writes it"
        )
    signature = check_package(Path(folder))
    try:
        import onnxruntime

        from lepton_core.model_format.features.pipeline import Pipeline
    except ImportError as error:
        detail = f"lepton.load needs the package {error.name}: pip install 'lepton-sdk[load]'"
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, detail) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    path = str(Path(folder) / "model.onnx")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class for each of its status codes
        raise invalid("model.onnx", f"ONNX Runtime cannot load it: {str(error)[:300]}") from None
    pipeline = Pipeline.of(signature)
    names = [tensor.name for tensor in signature.outputs]

    def run(tensors: Mapping[str, Any]) -> dict[str, Any]:
        return dict(zip(names, session.run(names, pipeline(tensors)), strict=True))

    return LoadedModel(signature, run)
