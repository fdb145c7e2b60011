"""Pages of lists: bounded in bytes, so that large documents cannot make a list unreadable."""

import sqlalchemy as sa

from lepton_registry import paging
from lepton_registry.database.engine import table
from lepton_registry.runs import store
from lepton_registry.runs.tables import RunRow

RUNS = table(RunRow)


async def pages(scene, size):
    """The ids of each page, from the first to the last."""
    found, before = [], ""
    while True:
        options = {"state": None, "before": before, "size": size}
        page = await scene.database.read(lambda conn, options=options: store.list_runs(conn, scene.project, **options))
        found.append([row.id for row in page.rows])
        if not page.more:
            return found
        before = page.rows[-1].id


async def test_a_page_ends_before_it_is_too_large_for_a_message(scene, monkeypatch):
    monkeypatch.setattr(paging, "MAX_PAGE_BYTES", 100_000)
    runs = [(await scene.submit()).id for _ in range(7)]
    large = sa.update(RUNS).where(RUNS.c.id.in_(runs[:3])).values(metrics_json='{"%s": 1}' % ("é" * 30_000))
    await scene.database.write(lambda conn: conn.execute(large))
    assert await pages(scene, 50) == [[*runs[:2:-1], runs[2]], [runs[1]], [runs[0]]]


async def test_a_row_that_is_larger_than_a_page_is_a_page_of_its_own(scene, monkeypatch):
    monkeypatch.setattr(paging, "MAX_PAGE_BYTES", 1)
    runs = [(await scene.submit()).id for _ in range(3)]
    assert await pages(scene, 50) == [[run] for run in reversed(runs)]


async def test_small_rows_fill_the_page(scene):
    runs = [(await scene.submit()).id for _ in range(5)]
    assert await pages(scene, 2) == [[runs[4], runs[3]], [runs[2], runs[1]], [runs[0]]]
    assert await pages(scene, 5) == [list(reversed(runs))]
