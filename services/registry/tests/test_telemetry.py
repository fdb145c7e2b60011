"""What Prometheus is shown of the registry's database."""

from lepton_registry.telemetry import samples
from services.registry.tests.conftest import Scene


async def test_runs_leases_and_the_outbox_are_shown(scene: Scene) -> None:
    run = await scene.submit()
    await scene.submit()
    worker = await scene.worker()
    await scene.claim(worker)
    found = {
        (each.name, *each.labels.values()): each.value
        for each in await scene.database.read(lambda conn: list(samples(conn)))
    }
    assert found["lepton_runs", "queued"] == 1
    assert found["lepton_runs", "running"] == 1
    assert found["lepton_leases",] == 1
    # Nobody numbers events here.
    assert found["lepton_outbox_events",] >= 3
    assert found["lepton_outbox_lag_seconds",] >= 0
    assert run
