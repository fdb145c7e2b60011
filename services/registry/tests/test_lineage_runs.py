"""The lineage of a run is there as soon as the run is: also of one that waits, or ended without an attempt."""

import json

import sqlalchemy as sa

from lepton_registry.lineage import graph
from lepton_registry.runs import store

from .conftest import ROOTS


async def around(scene, node_id):
    """Kind → name and facts, of all that is connected to the node."""

    def read(conn):
        root = ROOTS.find(conn, scene.project, node_id)
        found = graph.closure(conn, scene.project, root.stored, up=True, down=True)
        ids = [root.stored, *(end for edge in found.edges for end in (edge.from_id, edge.to_id))]
        return {node.id: node for node in graph.describe(conn, scene.project, ids, ROOTS.kinds)}

    return await scene.database.read(read)


async def script(scene, code, **more):
    return await scene.submit(recipe="", script={"entry": "file0", "code": code}, **more)


async def test_a_run_that_waits_shows_its_data_and_its_recipe_both_ways(scene):
    run = await scene.submit()
    for start in (run.id, run.dataset_version_id, run.id[:-1], run.dataset_version_id[:-1]):
        nodes = await around(scene, start)
        assert nodes.keys() == {run.id, run.dataset_version_id}
        assert (nodes[run.id].name, nodes[run.id].facts) == ("job", {"recipe": "r@1", "created_by": "key_1"})
        assert nodes[run.dataset_version_id].name == "digits@1"


async def test_a_script_that_was_cancelled_before_it_began_shows_its_code(scene):
    code = (await scene.dataset("code")).digest
    run = await script(scene, code)
    await scene.database.write(lambda conn: store.cancel(conn, scene.project, run.id, "key_1"))
    assert (await around(scene, f"code:{code}")).keys() == {run.id, f"code:{code}"}
    nodes = await around(scene, run.id)
    assert nodes.keys() == {run.id, f"code:{code}", run.dataset_version_id}
    assert nodes[f"code:{code}"].facts == {"digest": code}


async def test_a_run_without_inputs_shows_itself(scene):
    code = (await scene.dataset("code")).digest
    run = await script(scene, code, data="")
    nodes = await around(scene, run.id)
    assert nodes.keys() == {run.id, f"code:{code}"}


async def test_the_same_job_again_adds_nothing_and_another_project_sees_nothing(scene):
    from lepton_registry.runs import submission

    job = scene.job(key="k")
    for _ in range(2):
        run, _ = await scene.database.write(lambda conn: submission.submit(conn, job))
    rows = await scene.database.read(lambda conn: conn.execute(sa.text("SELECT * FROM lineage_edges")).all())
    assert [(row.from_id, row.to_id) for row in rows] == [(run.id, run.dataset_version_id)]
    found = await scene.database.read(lambda conn: graph.closure(conn, "prj_b", run.id, up=True, down=True))
    assert found.edges == []


async def test_jobs_that_share_their_code_share_its_node(scene):
    code = (await scene.dataset("code")).digest
    first, second = await script(scene, code, data=""), await script(scene, code, data="", name="again")
    assert (await around(scene, f"code:{code}")).keys() == {first.id, second.id, f"code:{code}"}


async def test_the_end_of_a_run_adds_its_metrics(scene):
    attempt = await scene.started(await scene.worker())
    await scene.finish(attempt.id, "succeeded", metrics_json=json.dumps({"accuracy": 0.5}))
    facts = (await around(scene, attempt.run_id))[attempt.run_id].facts
    assert facts == {"recipe": "r@1", "created_by": "key_1", "metrics": {"accuracy": 0.5}}
