"""The object store by presigned URLs. All its errors are UNAVAILABLE, since new URLs may help."""

from collections.abc import Iterator

import httpx

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.objects.ranges import is_range, range_header

_CHUNK_BYTES = 1 << 20


class Store:
    def __init__(self) -> None:
        # Without the environment's proxy: presigned URLs are sent only to the store.
        self._http = httpx.Client(timeout=httpx.Timeout(30.0, connect=5.0), trust_env=False)

    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        received = 0
        try:
            with self._http.stream("GET", url, headers={"Range": range_header(offset, length)}) as response:
                if not is_range(response.status_code, response.headers, offset, length):
                    raise _refused(response.status_code)
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    yield chunk[: length - received]
                    received += len(chunk)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if received < length:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"the object store sent {received} bytes of {length}")

    def put_part(self, url: str, data: bytes) -> str:
        """The part's ETag."""
        try:
            response = self._http.put(url, content=data, headers={"Content-Type": "application/octet-stream"})
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if response.status_code != 200:
            raise _refused(response.status_code)
        return str(response.headers.get("etag", "")).strip('"')


def _refused(status: int) -> LeptonError:
    return LeptonError(ErrorCode.UNAVAILABLE, f"the object store answered {status}")


def _unreachable(error: httpx.TransportError) -> LeptonError:
    return LeptonError(ErrorCode.UNAVAILABLE, f"the object store cannot be reached: {type(error).__name__}")
