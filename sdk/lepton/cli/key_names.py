"""Names of keys instead of their ids, where this caller may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_core.errors import LeptonError

if TYPE_CHECKING:
    from lepton.client import Client


class Keyring:
    """Asks at most once, and only when there is an id to name."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[str, str] | None = None

    def name(self, id: str) -> str:
        """`ci` for `key_01J…`; the id itself where the list of keys is not ours to see, or has no such key."""
        if not id.startswith("key_"):
            return id
        if self._names is None:
            try:
                self._names = {key.id: key.name for key in self._client.keys.list()}
            except LeptonError:
                self._names = {}
        return self._names.get(id) or id
