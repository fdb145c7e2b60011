"""Lineage: the closure both ways, its bounds, and who may be named as a root."""

import time
from itertools import pairwise

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of, new_id, new_ulid
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.manifest import File
from lepton_registry.database.engine import Database
from lepton_registry.datasets import store as datasets
from lepton_registry.deployments import store as deployments
from lepton_registry.lineage import edges, graph
from lepton_registry.lineage.edges import Edge, Node
from lepton_registry.models import aliases
from lepton_registry.models import store as models

from .conftest import ROOTS

PROJECT, OTHER = "prj_a", "prj_b"
CODE, ENVIRONMENT = f"code:{digest_of(b'code')}", f"env:{digest_of(b'env')}"


@pytest.fixture
async def story(database: Database) -> dict[str, str]:
    """A dataset version, the run that used it, the model it made, and the deployment that serves it: their ids."""
    run_id = new_id("run")

    def work(conn):
        file = File("model.onnx", digest_of(b"1"), 1)
        blobs.add(conn, PROJECT, [blobs.Stored(file.digest, 1, "key", 0)])
        from lepton_registry.artifacts import store as artifacts

        manifest = artifacts.commit_manifest(conn, PROJECT, [file])
        dataset, _ = datasets.create_version(conn, PROJECT, name="images", manifest_digest=manifest.digest)
        used = [Edge(run_id, "used", dataset.id), Edge(run_id, "executed", CODE), Edge(run_id, "ran_in", ENVIRONMENT)]
        edges.record(conn, PROJECT, used, [Node(run_id, "run", "digits", {"state": "succeeded"})])
        model, _ = models.register_version(
            conn,
            PROJECT,
            model="digits",
            files=[file],
            signature_json="{}",
            metrics_json='{"accuracy":0.99}',
            run_id=run_id,
        )
        aliases.set_alias(
            conn,
            PROJECT,
            model="digits",
            alias="champion",
            version=1,
            expected_version=0,
            updated_by="me",
            followers=(),
        )
        deployment, _ = deployments.create(conn, PROJECT, name="api", model="digits@champion", created_by="me")
        return {
            "dataset": dataset.id,
            "run": run_id,
            "model": model.id,
            "revision": deployment.desired_id,
            "deployment": deployment.id,
        }

    return await database.write(work)


async def closure(database: Database, root: str, *, up: bool = False, down: bool = False, depth: int = 16):
    return await database.read(lambda conn: graph.closure(conn, PROJECT, root, up=up, down=down, max_depth=depth))


def ends(found: graph.Closure) -> set[str]:
    return {end for edge in found.edges for end in (edge.from_id, edge.to_id)}


async def test_up_from_the_revision_to_data_code_and_environment(database, story):
    found = await closure(database, story["revision"], up=True)
    assert [edge.relation for edge in found.edges][:2] == ["serves", "generated"], "nearest first"
    assert ends(found) == {
        story["revision"], story["model"], story["run"], story["dataset"], CODE, ENVIRONMENT,
    }  # fmt: skip


async def test_down_from_the_data_to_what_is_served(database, story):
    found = await closure(database, story["dataset"], down=True)
    assert ends(found) == {story["dataset"], story["run"], story["model"], story["revision"]}


async def test_both_ways_from_the_middle_in_one_query(database, story):
    found = await closure(database, story["run"], up=True, down=True)
    assert len(found.edges) == 5
    assert not found.truncated


async def test_depth_is_bounded(database, story):
    found = await closure(database, story["revision"], up=True, depth=1)
    assert [edge.relation for edge in found.edges] == ["serves"]


async def test_another_project_has_no_edges(database, story):
    found = await database.read(lambda conn: graph.closure(conn, OTHER, story["run"], up=True, down=True))
    assert found.edges == []


async def test_a_cycle_and_a_diamond_end(database):
    ring = [Edge(f"n{a}", "derived_from", f"n{b}") for a, b in pairwise([0, 1, 2, 3, 0])]
    diamond = [Edge("n0", "derived_from", "n2"), Edge("n1", "derived_from", "n3")]
    await database.write(lambda conn: edges.record(conn, PROJECT, [*ring, *diamond]))
    found = await closure(database, "n0", up=True, down=True, depth=64)
    assert len(found.edges) == 6


async def test_size_is_bounded_and_said(database):
    many = [Edge(f"run{number}", "used", "data") for number in range(graph.MAX_EDGES + 10)]
    await database.write(lambda conn: edges.record(conn, PROJECT, many))
    found = await closure(database, "data", down=True)
    assert (len(found.edges), found.truncated) == (graph.MAX_EDGES, True)


async def test_a_chain_in_a_large_graph_is_fast(database):
    chain = [Edge(f"c{number + 1}", "derived_from", f"c{number}") for number in range(16)]
    noise = [Edge(f"x{number}", "used", f"y{number % 100}") for number in range(20_000)]
    await database.write(lambda conn: edges.record(conn, PROJECT, [*chain, *noise]))
    await closure(database, "c8", up=True, down=True)
    started = time.perf_counter()
    found = await closure(database, "c8", up=True, down=True)
    assert len(found.edges) == 16
    assert time.perf_counter() - started < 0.5, "it must walk indexes, not the table"


async def test_nodes_are_named_with_facts(database, story):
    nodes = await database.read(
        lambda conn: graph.describe(
            conn, PROJECT, [story["model"], story["revision"], story["dataset"], CODE], ROOTS.kinds
        )
    )
    assert [(node.kind, node.name) for node in nodes] == [
        ("model_version", "digits@1"),
        ("revision", "api#1"),
        ("dataset_version", "images@1"),
        ("code", CODE),
    ]
    assert nodes[0].facts["metrics"] == {"accuracy": 0.99}


async def test_roots_by_id_reference_and_prediction(database, story):
    prediction = f"pred_{story['revision'].removeprefix('rev_')}_{new_ulid()}"
    for text, stored in {
        "digits@champion": story["model"],
        "digits": story["model"],
        "images@latest": story["dataset"],
        "images": story["dataset"],
        "api": story["revision"],
        story["deployment"]: story["revision"],
        story["run"]: story["run"],
        CODE: CODE,
        prediction: story["revision"],
    }.items():
        root = await database.read(lambda conn, text=text: ROOTS.find(conn, PROJECT, text))
        assert root.stored == stored, text
    assert root.id == prediction


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nobody", ErrorCode.NOT_FOUND),
        ("digits@best", ErrorCode.NOT_FOUND),
        (f"pred_{'0' * 26}_{'0' * 26}", ErrorCode.NOT_FOUND),
        ("pred_x", ErrorCode.INVALID),
        ("a b", ErrorCode.INVALID),
        ("", ErrorCode.INVALID),
    ],
)
async def test_unknown_roots(database, story, text, code):
    with pytest.raises(LeptonError) as raised:
        await database.read(lambda conn: ROOTS.find(conn, PROJECT, text))
    assert raised.value.code is code


async def test_a_prediction_of_another_project_is_not_found(database, story):
    prediction = f"pred_{story['revision'].removeprefix('rev_')}_{new_ulid()}"
    with pytest.raises(LeptonError) as raised:
        await database.read(lambda conn: ROOTS.find(conn, OTHER, prediction))
    assert raised.value.code is ErrorCode.NOT_FOUND


async def test_what_a_script_wrote_into_its_environment_does_not_make_lineage_unreadable(database: Database) -> None:
    run_id = new_id("run")
    nodes = [
        Node(run_id, "run", "digits", {"state": "succeeded"}),
        Node(ENVIRONMENT, "environment", "machine", {"platform": "x" * 3_000_000, "python": "3.11"}),
    ]
    await database.write(lambda conn: edges.record(conn, PROJECT, [Edge(run_id, "ran_in", ENVIRONMENT)], nodes))
    found = await database.read(lambda conn: graph.describe(conn, PROJECT, [run_id, ENVIRONMENT], ROOTS.kinds))
    assert found[1].facts == {"platform": "left out: 3000002 characters", "python": "3.11"}


async def test_facts_have_a_limit_in_one_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MAX_FACTS_CHARS", 50)
    runs = [new_id("run") for _ in range(3)]
    nodes = [Node(run, "run", "digits", {"note": "x" * 10}) for run in runs]
    await database.write(lambda conn: edges.record(conn, PROJECT, [], nodes))
    found = await database.read(lambda conn: graph.describe(conn, PROJECT, runs, ROOTS.kinds))
    assert [list(node.facts) for node in found] == [["note"], ["note"], ["left_out"]]
