"""The object store: any S3, through the minio client. Calls block; any number of threads may make them.

A key is written once. Clients upload by multipart uploads to a new key: it is not visible until the registry completes
the upload, and after that none of the upload's URLs can write there.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Part
from minio.error import InvalidResponseError, MinioException, S3Error

from lepton_core.errors import ErrorCode, LeptonError, invalid

CHUNK_BYTES = 1024 * 1024
CONNECT_SECONDS = 3.0
READ_SECONDS = 60.0
POOL_SIZE = 32

# Errors of the request itself. All others, wrong credentials included, may be repaired without changing the request.
_CODES = {
    "NoSuchKey": ErrorCode.NOT_FOUND,
    "NoSuchUpload": ErrorCode.NOT_FOUND,
    "InvalidPart": ErrorCode.INVALID,
    "InvalidPartOrder": ErrorCode.INVALID,
    "EntityTooSmall": ErrorCode.INVALID,
    "EntityTooLarge": ErrorCode.TOO_LARGE,
    # The database expects more bytes than the object has.
    "InvalidRange": ErrorCode.CORRUPT,
}


_ERROR_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


class ObjectStore:
    """One bucket. `public_url` is the store's address for clients, since the host is part of a URL's signature."""

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        *,
        bucket: str,
        region: str = "us-east-1",
        public_url: str = "",
    ) -> None:
        self.bucket = bucket
        self._client = _client(endpoint, access_key, secret_key, region, "endpoint")
        self._public = _client(public_url or endpoint, access_key, secret_key, region, "public_url")

    def ensure_bucket(self) -> None:
        with _translated_errors("the bucket"):
            if self._client.bucket_exists(self.bucket):
                return
            try:
                self._client.make_bucket(self.bucket)
            except S3Error as error:
                # Another replica made the bucket first.
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def put(self, key: str, data: bytes) -> None:
        with _translated_errors(key):
            self._client.put_object(self.bucket, key, BytesIO(data), len(data))

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """The whole object, or `length` bytes from `offset`. CORRUPT when it has fewer."""
        if length == 0:
            return b""  # to the client 0 means "to the end"
        data = b"".join(self.stream(key, offset, length))
        if length is not None and len(data) != length:
            raise LeptonError(ErrorCode.CORRUPT, f"{key} has {len(data)} bytes from {offset}, not {length}")
        return data

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        with _translated_errors(key):
            response = self._client.get_object(self.bucket, key, offset, length or 0)
            try:
                yield from response.stream(CHUNK_BYTES)
            finally:
                response.close()
                response.release_conn()

    def digest(self, key: str) -> tuple[str, int]:
        """SHA-256 and size of what is stored, read in pieces."""
        sha256 = hashlib.sha256()
        size = 0
        for chunk in self.stream(key):
            sha256.update(chunk)
            size += len(chunk)
        return f"sha256:{sha256.hexdigest()}", size

    def size(self, key: str) -> int | None:
        """None if there is no such object."""
        try:
            with _translated_errors(key):
                return self._client.stat_object(self.bucket, key).size
        except LeptonError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise

    def delete(self, key: str) -> None:
        """Deletes an object; it is no error if there is none."""
        try:
            with _translated_errors(key):
                self._client.remove_object(self.bucket, key)
        except LeptonError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        with _translated_errors(prefix):
            for each in self._client.list_objects(self.bucket, prefix=prefix, recursive=True):
                if each.object_name is not None:
                    yield each.object_name

    def read_url(self, key: str, seconds: int) -> str:
        """A URL by which anybody can read the object until it expires."""
        return self._public.get_presigned_url("GET", self.bucket, key, expires=timedelta(seconds=seconds))

    def create_multipart(self, key: str) -> str:
        """Begins an upload; returns its id. Nothing is visible under `key` before `complete_multipart`."""
        with _translated_errors(key):
            return self._client._create_multipart_upload(self.bucket, key, {})

    def part_url(self, key: str, multipart_id: str, number: int, seconds: int) -> str:
        """A URL for a PUT of part `number` (from 1); `complete_multipart` needs the ETag of its answer."""
        return self._public.get_presigned_url(
            "PUT",
            self.bucket,
            key,
            expires=timedelta(seconds=seconds),
            extra_query_params={"partNumber": str(number), "uploadId": multipart_id},
        )

    def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """`parts` are (number, ETag). NOT_FOUND if there is no such upload, INVALID if parts did not arrive."""
        with _translated_errors(key):
            found = [Part(number, etag.strip('"')) for number, etag in sorted(parts)]
            self._client._complete_multipart_upload(self.bucket, key, multipart_id, found)

    def part_sizes(self, key: str, multipart_id: str) -> dict[int, int]:
        """Part number → size in bytes, of the parts that arrived. NOT_FOUND if there is no such upload."""
        found: dict[int, int] = {}
        after: str | None = None
        with _translated_errors(key):
            while True:
                page = self._client._list_parts(self.bucket, key, multipart_id, part_number_marker=after)
                found |= {part.part_number: part.size or 0 for part in page.parts}
                if not page.is_truncated:
                    return found
                after = page.next_part_number_marker

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Deletes an upload and its parts; it is no error if there is none."""
        try:
            with _translated_errors(key):
                self._client._abort_multipart_upload(self.bucket, key, multipart_id)
        except LeptonError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise


def _client(url: str, access_key: str, secret_key: str, region: str, field: str) -> Minio:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise invalid(field, "not the address of an S3 store", url, "http://host:port or https://host[:port]")
    # No retries in the client: the caller knows how long it can wait.
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        maxsize=POOL_SIZE,
        retries=urllib3.Retry(total=1, connect=0, read=0, other=0, redirect=0, status=0),
    )
    # Without a region, the client would ask the store for it before its first signature.
    return Minio(
        parts.netloc,
        access_key,
        secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=pool,
    )


@contextmanager
def _translated_errors(what: str) -> Iterator[None]:
    """Converts the client's exceptions to LeptonError: UNAVAILABLE unless the store refused the request itself."""
    try:
        yield
    except S3Error as error:
        raise _refusal(what, error.code or "") from error
    except InvalidResponseError as error:
        # The client reads errors of the type application/xml only; rclone sends text/xml.
        match = _ERROR_CODE.search(str(error))
        raise _refusal(what, match[1] if match else "no reason given") from error
    except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        raise LeptonError(
            ErrorCode.UNAVAILABLE, f"the object store does not answer for {what}: {type(error).__name__}"
        ) from error


def _refusal(what: str, code: str) -> LeptonError:
    return LeptonError(_CODES.get(code, ErrorCode.UNAVAILABLE), f"the object store refused {what}: {code}")
