"""Names of API keys, to show instead of their ids if the caller may list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_core.errors import LeptonError

if TYPE_CHECKING:
    from lepton.client import Client


class KeyNames:
    """Requests the list of keys at most once, when the first name is needed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[str, str] | None = None

    def name(self, id: str) -> str:
        """`ci` for `key_01J…`; the id itself if the caller may not list the keys, or if there is no such key."""
        if not id.startswith("key_"):
            return id
        if self._names is None:
            try:
                self._names = {key.id: key.name for key in self._client.keys.list()}
            except LeptonError:
                self._names = {}
        return self._names.get(id) or id
