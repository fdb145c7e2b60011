"""Who sees what of the workers."""

from lepton_core.identity import Role
from lepton_fixtures.registry_calls import claim, push_dataset, register_worker, submit
from lepton_proto.v1 import projects_pb2, projects_pb2_grpc, workers_pb2, workers_pb2_grpc


async def seen(channel):
    listed = await workers_pb2_grpc.WorkerServiceStub(channel).ListWorkers(workers_pb2.ListWorkersRequest())
    [worker] = listed.workers
    return worker


async def test_only_the_operator_sees_machines_and_what_they_do_for_other_projects(server):
    operator, pool = await server.gateway(), await server.pool()
    await push_dataset(operator)
    worker = await register_worker(pool)
    await submit(operator)
    attempt = (await claim(pool, worker)).attempt_id
    made = await projects_pb2_grpc.ProjectServiceStub(operator).CreateProject(
        projects_pb2.CreateProjectRequest(name="other")
    )
    shown = await seen(operator)
    assert (shown.hostname, shown.current_attempt_id) == ("host", attempt)
    shown = await seen(await server.gateway(Role.ADMIN))
    assert (shown.hostname, shown.current_attempt_id) == ("", attempt)
    shown = await seen(await server.gateway(Role.VIEWER, made.project.id))
    assert (shown.hostname, shown.current_attempt_id, shown.id) == ("", "", worker.id)
