"""Finds the node that is meant by an id, a reference such as digits@champion, or a prediction."""

import re
from dataclasses import dataclass

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import is_id, is_ulid
from lepton_registry.database.engine import table
from lepton_registry.datasets import store as datasets
from lepton_registry.deployments import store as deployments
from lepton_registry.deployments.tables import DeploymentRow
from lepton_registry.id_lookup import complete_id
from lepton_registry.lineage import graph
from lepton_registry.lineage.tables import LineageNodeRow
from lepton_registry.models import store as models
from lepton_registry.name_lookup import not_found

DEPLOYMENTS = table(DeploymentRow)
NODES = table(LineageNodeRow)
_DIGEST_NODE = re.compile(r"(code|env):sha256:[0-9a-f]{64}")
_NODE_PREFIXES = ("run", "dsv", "mv", "rev")
ROOT_RULE = (
    "an id (run_…, dsv_…, mv_…, rev_…, dep_…, pred_…), code:sha256:…, env:sha256:…, "
    "or a reference to a model or dataset (digits@champion, digits@2)"
)


@dataclass(frozen=True, slots=True)
class Root:
    """`stored` is the node where the query begins. A prediction has no row: its id contains the id of its revision."""

    id: str
    stored: str

    @property
    def is_prediction(self) -> bool:
        return self.id != self.stored


def find_root(conn: sa.Connection, project: str, text: str) -> Root:
    """Raises NOT_FOUND, or INVALID for a text that cannot be a reference."""
    if text.startswith("pred_"):
        return _prediction(conn, project, text)
    text = _complete(conn, project, text)
    if is_id(text, "dep"):
        stored = deployments.desired_revision_id(conn, project, text)
        return Root(stored, stored)
    if any(is_id(text, prefix) for prefix in _NODE_PREFIXES) or _DIGEST_NODE.fullmatch(text):
        if not graph.exists(conn, project, text):
            raise not_found("id", text, "nothing is recorded about this id in this project", ROOT_RULE)
        return Root(text, text)
    stored = _by_reference(conn, project, text)
    return Root(stored, stored)


def _complete(conn: sa.Connection, project: str, text: str) -> str:
    """The whole id that begins with `text`; `text` itself if there is none, since it may be a name."""
    prefix = text.partition("_")[0]
    if prefix == "dep":
        deployed = sa.and_(DEPLOYMENTS.c.project == project, DEPLOYMENTS.c.deleted_at_us == 0)
        return complete_id(conn, DEPLOYMENTS.c.id, deployed, prefix, text, "id") or text
    if prefix not in _NODE_PREFIXES:
        return text
    return complete_id(conn, NODES.c.id, NODES.c.project == project, prefix, text, "id") or text


def _prediction(conn: sa.Connection, project: str, text: str) -> Root:
    parts = text.split("_")
    if len(parts) != 3 or not all(is_ulid(part) for part in parts[1:]):
        raise not_found("id", text, "not a prediction id", "pred_<26 characters>_<26 characters>", ErrorCode.INVALID)
    revision = f"rev_{parts[1]}"
    if not graph.exists(conn, project, revision):
        raise not_found("id", text, "no revision of this project made this prediction", ROOT_RULE)
    return Root(text, revision)


def _by_reference(conn: sa.Connection, project: str, text: str) -> str:
    """A name means a model, else a dataset, else a deployment, which stands for the revision that it serves."""
    try:
        return str(models.resolve(conn, project, text, field="id").id)
    except LeptonError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        no_model = error
    try:
        return str(datasets.resolve(conn, project, text, field="id").id)
    except LeptonError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
    if "@" not in text:
        deployment = deployments.find(conn, project, text)
        if deployment is not None:
            return str(deployment.desired_id)
        raise not_found("id", text, f"no model, dataset or deployment named {text!r}", ROOT_RULE)
    raise no_model
