"""The list of the registry's modules. A new resource needs its folder and a line here."""

from lepton_registry.artifacts.module import MODULE as ARTIFACTS
from lepton_registry.datasets.module import MODULE as DATASETS
from lepton_registry.deployments.module import MODULE as DEPLOYMENTS
from lepton_registry.events.module import MODULE as EVENTS
from lepton_registry.lineage.module import MODULE as LINEAGE
from lepton_registry.logs.module import MODULE as LOGS
from lepton_registry.metrics.module import MODULE as METRICS
from lepton_registry.models.module import MODULE as MODELS
from lepton_registry.projects.module import MODULE as PROJECTS
from lepton_registry.recipes.module import MODULE as RECIPES
from lepton_registry.runs.module import MODULE as RUNS
from lepton_registry.scheduling.module import MODULE as SCHEDULING

# Also the order in which lineage resolves a name: a model, else a dataset, else a deployment.
MODULES = (
    PROJECTS,
    RECIPES,
    SCHEDULING,
    RUNS,
    METRICS,
    LOGS,
    EVENTS,
    ARTIFACTS,
    MODELS,
    DATASETS,
    DEPLOYMENTS,
    LINEAGE,
)
