"""Finds the node that is meant by an id, a reference such as digits@champion, or a prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import is_ulid
from lepton_registry.id_lookup import complete_id
from lepton_registry.lineage import graph
from lepton_registry.lineage.edges import NODES
from lepton_registry.lineage.kinds import NodeKind, NodeKinds, NodeReference
from lepton_registry.name_lookup import not_found

PREDICTION = NodeKind("prediction", "pred")


@dataclass(frozen=True, slots=True)
class Root:
    """`stored` is the node where the query begins. A prediction has no row: its id contains the id of its revision."""

    id: str
    stored: str

    @property
    def is_prediction(self) -> bool:
        return self.id != self.stored


class RootFinder:
    """`references` are tried in their order: a name means a model, else a dataset, else a deployment."""

    def __init__(self, kinds: NodeKinds, references: Sequence[NodeReference]) -> None:
        self.kinds = kinds
        self._references = references
        ids = [
            *(f"{kind.beginning}…" for kind in kinds.all),
            *(f"{each.prefix}_…" for each in references if each.prefix),
        ]
        nouns = " or ".join(f"a {each.noun}" for each in references)
        self.allowed = f"an id ({', '.join(ids)}), or a reference to {nouns} (digits@champion, digits@2)"

    def find(self, conn: sa.Connection, project: str, text: str) -> Root:
        """Raises NOT_FOUND, or INVALID for a text that cannot be a reference."""
        if text.startswith(PREDICTION.beginning):
            return self._prediction(conn, project, text)
        text = self._complete(conn, project, text)
        if self.kinds.of(text) is not None:
            if not graph.exists(conn, project, text):
                raise not_found("id", text, "nothing is recorded about this id in this project", self.allowed)
            return Root(text, text)
        stored = self._by_reference(conn, project, text)
        return Root(stored, stored)

    def _complete(self, conn: sa.Connection, project: str, text: str) -> str:
        """The whole id that begins with `text`; `text` itself if there is none, since it may be a name."""
        kind = self.kinds.with_prefix(text.partition("_")[0])
        if kind is None:
            return text
        return complete_id(conn, NODES.c.id, NODES.c.project == project, kind.prefix, text, "id") or text

    def _prediction(self, conn: sa.Connection, project: str, text: str) -> Root:
        parts = text.split("_")
        if len(parts) != 3 or not all(is_ulid(part) for part in parts[1:]):
            raise not_found(
                "id", text, "not a prediction id", "pred_<26 characters>_<26 characters>", ErrorCode.INVALID
            )
        revision = f"rev_{parts[1]}"
        if not graph.exists(conn, project, revision):
            raise not_found("id", text, "no revision of this project made this prediction", self.allowed)
        return Root(text, revision)

    def _by_reference(self, conn: sa.Connection, project: str, text: str) -> str:
        # First the resource whose ids begin so.
        ordered = sorted(self._references, key=lambda each: not (each.prefix and text.startswith(f"{each.prefix}_")))
        first: LeptonError | None = None
        for reference in ordered:
            try:
                return reference.resolve(conn, project, text)
            except LeptonError as error:
                if error.code is not ErrorCode.NOT_FOUND:
                    raise
                first = first or error
        if first is not None and "@" in text:
            raise first
        *nouns, last = (each.noun for each in self._references)
        raise not_found("id", text, f"no {', '.join(nouns)} or {last} named {text!r}", self.allowed)
