"""All tables of the registry: for migrations, for the check that both agree, and for tests."""

import sqlalchemy as sa
from sqlmodel import SQLModel

from lepton_registry.artifacts import tables as artifacts
from lepton_registry.database import engine
from lepton_registry.datasets import tables as datasets
from lepton_registry.deployments import tables as deployments
from lepton_registry.events import tables as events
from lepton_registry.lineage import tables as lineage
from lepton_registry.logs import tables as logs
from lepton_registry.metrics import tables as metrics
from lepton_registry.models import tables as models
from lepton_registry.projects import tables as projects
from lepton_registry.recipes import tables as recipes
from lepton_registry.runs import tables as runs
from lepton_registry.workers import tables as workers

MODULES = (
    artifacts,
    engine,
    datasets,
    deployments,
    events,
    lineage,
    logs,
    metrics,
    models,
    projects,
    recipes,
    runs,
    workers,
)
METADATA = SQLModel.metadata


def create_tables(url: str) -> None:
    """Without migrations: for tests, which start with an empty engine."""
    engine = sa.create_engine(url)
    METADATA.create_all(engine)
    engine.dispose()
