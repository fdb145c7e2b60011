"""API keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from lepton.resources.id_prefix import only_match
from lepton.transport.http import Transport, part
from lepton_core.api import ApiKey, CreateKeyRequest, CreateKeyResponse, ListKeysResponse
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.ids import is_id
from lepton_core.validation import parse


@dataclass(frozen=True, slots=True)
class NewKey:
    """`secret` is the token itself. It cannot be read again: the platform stores only a hash."""

    key: ApiKey
    secret: str = field(repr=False)


class Keys:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, role: str = "editor", ttl_seconds: int = 0, project: str = "") -> NewKey:
        """`ttl_seconds` 0: it does not expire. Only an operator may name another project."""
        given = {"name": name, "role": role, "ttl_seconds": ttl_seconds, "project": project}
        body = parse(CreateKeyRequest, given)
        made = self._transport.send("POST", "/v1/keys", CreateKeyResponse, body, repeatable=False)
        return NewKey(made.key, made.secret)

    def find_id(self, reference: str) -> str:
        """The id of a key by its id or the beginning of one. Raises NOT_FOUND, or INVALID if there are several."""
        if is_id(reference, "key"):
            return reference
        if not reference.startswith("key_"):
            message = f"there is no key {reference!r}"
            named = ", ".join(key.id for key in self.list() if key.name == reference)
            allowed = "an id of a key or the beginning of one" + (f"; keys of this name: {named}" if named else "")
            raise LeptonError(ErrorCode.NOT_FOUND, message, [FieldError("key", message, "", allowed)])
        return only_match("key", reference, [key.id for key in self.list()])

    def list(self) -> list[ApiKey]:
        """The keys of the project, without their secrets."""
        return self._transport.get("/v1/keys", ListKeysResponse).keys

    def revoke(self, key_id: str) -> ApiKey:
        """Revokes a key. Services that checked it recently may accept it for up to 30 more seconds."""
        return self._transport.send("DELETE", f"/v1/keys/{part(key_id, 'key_id')}", ApiKey)
