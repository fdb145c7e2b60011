"""Shared by the stores of datasets and models: named parents with numbered versions.

A parent's row has the counter of its versions (`latest_version`), so that each number is used once and none is skipped.
"""

from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode
from lepton_core.ids import check_label, new_id
from lepton_registry.database.engine import insert_new, now_us
from lepton_registry.name_lookup import names_like, not_found
from lepton_registry.paging import Page, read_page


class Versioned:
    """`noun` names the parent in errors and in its column in `versions` (`<noun>_id`)."""

    def __init__(self, noun: str, parents: sa.Table, versions: sa.Table, *, parent_prefix: str) -> None:
        self.noun = noun
        self.parents = parents
        self.versions = versions
        self._parent_prefix = parent_prefix
        self._parent_id = versions.c[f"{noun}_id"]
        # Every submission runs this: built once, since building a statement costs more than running it.
        self._by_name = sa.select(parents).where(
            parents.c.project == sa.bindparam("project"), parents.c.name == sa.bindparam("name")
        )

    def find(self, conn: sa.Connection, project: str, name: str) -> sa.Row[Any] | None:
        return conn.execute(self._by_name, {"project": project, "name": name}).first()

    def get(self, conn: sa.Connection, project: str, name: str, *, field: str = "name") -> sa.Row[Any]:
        row = self.find(conn, project, check_label(name, field))
        if row is None:
            raise self.unknown(conn, project, name, field=field, value=name)
        return row

    def unknown(
        self,
        conn: sa.Connection,
        project: str,
        name: str,
        *,
        field: str,
        value: str,
        missing: ErrorCode = ErrorCode.NOT_FOUND,
    ) -> Exception:
        """The error for a parent that does not exist; it lists similar names."""
        names = names_like(conn, self.parents, project, name)
        return not_found(field, value, f"no {self.noun} named {name!r}", names, missing)

    def lock_or_create(self, conn: sa.Connection, project: str, name: str) -> sa.Row[Any]:
        """The parent's row, created if it is new, locked until the transaction ends."""
        statement = self._by_name.with_for_update()
        values = {"project": project, "name": name}
        row = conn.execute(statement, values).first()
        if row is None:
            new = {"id": new_id(self._parent_prefix), "description": "", "latest_version": 0, "created_at_us": now_us()}
            insert_new(conn, self.parents, values | new)
            row = conn.execute(statement, values).one()
        return row

    def next_version(self, conn: sa.Connection, parent_id: str) -> int:
        """The next number. The caller holds the parent's lock."""
        counter = self.parents.c.latest_version
        statement = sa.update(self.parents).where(self.parents.c.id == parent_id).values(latest_version=counter + 1)
        return int(conn.execute(statement.returning(counter)).scalar_one())

    def version(self, conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
        """The newest version that matches the conditions."""
        newest = self.versions.c.version.desc()
        return conn.execute(sa.select(self.versions).where(*conditions).order_by(newest).limit(1)).first()

    def of_parent(self, conn: sa.Connection, parent_id: str, *conditions: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
        """The newest version of one parent that matches the conditions."""
        return self.version(conn, self._parent_id == parent_id, *conditions)

    def list_parents(self, conn: sa.Connection, project: str, *, after: str, size: int) -> Page:
        """A page, sorted by name, after the name `after`."""
        name = self.parents.c.name
        statement = sa.select(self.parents).where(self.parents.c.project == project, name > after)
        return read_page(conn, statement.order_by(name), size)

    def list_versions(self, conn: sa.Connection, parent_id: str, *, before: int, size: int) -> Page:
        """A page, newest first, with numbers below `before` (0: all)."""
        number = self.versions.c.version
        statement = sa.select(self.versions).where(self._parent_id == parent_id)
        if before:
            statement = statement.where(number < before)
        return read_page(conn, statement.order_by(number.desc()), size)

    def keeps_manifest(self, manifests: sa.Table) -> sa.ColumnElement[bool]:
        """Condition on `manifests`: whether a version uses the manifest."""
        mine = self.versions.c
        return sa.exists().where(mine.project == manifests.c.project, mine.digest == manifests.c.digest)
