"""Imports: every file of a package is what its name says, or nothing is registered."""

import json
import pickle

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_core.model_format import formats
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import packs
from lepton_registry.artifacts.manifest import File
from lepton_registry.artifacts.read_urls import ReadUrls
from lepton_registry.models.package import PackageInspector

onnx = pytest.importorskip("onnx")

PROJECT = "prj_a"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
SIGNATURE = json.dumps({"inputs": [TENSOR], "model_inputs": [TENSOR], "outputs": [TENSOR | {"name": "y"}]}).encode()


def model(external: str = "") -> bytes:
    """y = x + 1, with its constant inside, or said to be in the file `external`."""
    helper, types = onnx.helper, onnx.TensorProto
    one = helper.make_tensor("one", types.FLOAT, [1], [1.0])
    if external:
        one.ClearField("float_data")
        one.data_location = types.EXTERNAL
        entry = one.external_data.add()
        entry.key, entry.value = "location", external
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "graph",
        [value("x", types.FLOAT, [None, 4])],
        [value("y", types.FLOAT, [None, 4])],
        [one],
    )
    return helper.make_model(graph).SerializeToString()


class Harmful:
    def __reduce__(self):
        return (print, ("code ran",))


PICKLE = pickle.dumps(Harmful())


@pytest.fixture
def inspect(database, s3):
    objects = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    objects.ensure_bucket()
    inspector = PackageInspector(ReadUrls(database, objects))

    async def run(**files: bytes):
        named = {name.replace("__", "."): data for name, data in files.items()}
        await packs.put_inline(database, objects, PROJECT, [(digest_of(data), data) for data in named.values()])
        return await inspector.inspect(
            PROJECT, [File(name, digest_of(data), len(data)) for name, data in named.items()]
        )

    return run


async def test_a_sound_package(inspect):
    package = await inspect(model__onnx=model(), signature__json=SIGNATURE, card__json=b'{"data":"digits@1"}')
    assert json.loads(package.signature_json)["inputs"] == [TENSOR]
    assert json.loads(package.card_json) == {"data": "digits@1"}
    assert [file.path for file in package.files] == ["card.json", "model.onnx", "signature.json"]


async def test_a_card_is_optional(inspect):
    assert (await inspect(model__onnx=model(), signature__json=SIGNATURE)).card_json == "{}"


FACTOR_FORMAT = """
from lepton_core.errors import invalid
from lepton_core.model_format.formats import ModelFormat


def check(file):
    if not file.read_bytes().isdigit():
        raise invalid(file.name, "not a whole number")


FACTOR = ModelFormat(".factor", check, "model.factor")
"""


@pytest.fixture
def factor_format(tmp_path, monkeypatch):
    """Installed as a package is: a module, and the entry point in its metadata."""
    metadata = tmp_path / "factor_runtime-1.dist-info"
    metadata.mkdir()
    (tmp_path / "factor_format.py").write_text(FACTOR_FORMAT)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: factor-runtime\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[lepton.model_formats]\nfactor = factor_format:FACTOR\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    formats.formats.cache_clear()
    yield
    formats.formats.cache_clear()


@pytest.mark.usefixtures("factor_format")
async def test_a_format_of_another_package_is_accepted_and_checked(inspect):
    """As docs/adding-a-runtime.md says."""
    package = await inspect(model__factor=b"3", signature__json=SIGNATURE)
    assert [file.path for file in package.files] == ["model.factor", "signature.json"]
    for files, words in (
        ({"model__factor": b"many"}, "not a whole number"),
        ({"code__py": b"1"}, r"\*\.factor"),
        ({}, "model.onnx or model.factor"),
    ):
        with pytest.raises(LeptonError, match=words) as raised:
            await inspect(**files, signature__json=SIGNATURE)
        assert raised.value.code is ErrorCode.INVALID


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model__onnx": PICKLE, "signature__json": SIGNATURE}, "model.onnx"),
        ({"model__onnx": model(), "signature__json": SIGNATURE, "weights__safetensors": PICKLE}, "weights.safetensors"),
        ({"model__onnx": model("../../etc/passwd"), "signature__json": SIGNATURE}, "model.onnx"),
        ({"model__onnx": model(), "signature__json": b"{}"}, "signature.json"),
        ({"model__onnx": model(), "signature__json": PICKLE}, "signature.json"),
        ({"model__onnx": model(), "signature__json": SIGNATURE, "card__json": b"[]"}, "card.json"),
        ({"model__onnx": model(), "signature__json": SIGNATURE, "model__pkl": PICKLE}, "model.pkl"),
        ({"model__onnx": model(), "signature__json": SIGNATURE, "code__py": b"1"}, "code.py"),
        ({"model__onnx": model(), "signature__json": SIGNATURE, "sub/model__onnx": model()}, "sub/model.onnx"),
        ({"model__onnx": model()}, "has no signature.json"),
        ({"signature__json": SIGNATURE}, "has no model.onnx"),
    ],
)
async def test_what_is_not_what_its_name_says_is_refused(inspect, files, said, capsys):
    with pytest.raises(LeptonError) as raised:
        await inspect(**files)
    assert raised.value.code is ErrorCode.INVALID
    assert said in raised.value.detail
    assert "code ran" not in capsys.readouterr().out


async def test_a_damaged_file_is_named_as_damaged(database, s3):
    objects = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    objects.ensure_bucket()
    files = {"model.onnx": model(), "signature.json": SIGNATURE}
    await packs.put_inline(database, objects, PROJECT, [(digest_of(data), data) for data in files.values()])
    [key] = objects.list_keys()
    path = s3.folder / key
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LeptonError) as raised:
        await PackageInspector(ReadUrls(database, objects)).inspect(
            PROJECT, [File(name, digest_of(data), len(data)) for name, data in files.items()]
        )
    assert raised.value.code is ErrorCode.CORRUPT
