"""`/docs`: the API's document as a page, for people who may have no internet. All it loads comes from this server."""

import hashlib
import html
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from lepton_core.errors import ErrorCode, FieldError, LeptonError

ASSETS_PATH = "/docs/assets/{file}"
MEDIA_TYPES = {
    "favicon.png": "image/png",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
# A key is typed into this page: whatever the API's document says, nothing is loaded from, or sent to, elsewhere.
# The style sheet draws its icons from data: addresses.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NO_SNIFF = {"x-content-type-options": "nosniff"}
_PAGE_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    **_NO_SNIFF,
}
# Relative addresses, so that the page also works behind a proxy that puts a prefix before it.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{icon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{bundle}"></script>
<script src="{start}"></script>
</body>
</html>
"""


def add_docs(app: FastAPI) -> None:
    """Routes are plain functions: Starlette runs them in a thread, since the first one reads files to hash them."""

    def page(_request: Request) -> Response:
        text = _PAGE.format(
            title=html.escape(f"{app.title} – API"),
            icon=_address("favicon.png"),
            style=_address("swagger-ui.css"),
            bundle=_address("swagger-ui-bundle.js"),
            start=_address("start.js"),
        )
        return HTMLResponse(text, headers=_PAGE_HEADERS)

    app.add_route("/docs", page, include_in_schema=False)
    app.add_route(ASSETS_PATH, _asset, include_in_schema=False)


def _asset(request: Request) -> Response:
    file = request.path_params["file"]
    if file not in MEDIA_TYPES:
        allowed = ", ".join(MEDIA_TYPES)
        raise LeptonError(
            ErrorCode.NOT_FOUND, f"the page has no such file; it has {allowed}", [FieldError("file", "", file, allowed)]
        )
    # Only the address with the right version may be kept for good: another server's page may ask for another file.
    is_this_version = request.query_params.get("v") == _version(file)
    kept = "public, max-age=31536000, immutable" if is_this_version else "no-cache"
    return FileResponse(_path(file), media_type=MEDIA_TYPES[file], headers={"cache-control": kept, **_NO_SNIFF})


def _address(file: str) -> str:
    return f"docs/assets/{file}?v={_version(file)}"


@lru_cache
def _version(file: str) -> str:
    with _path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def _path(file: str) -> Path:
    if file == "start.js":
        return Path(__file__).with_name("docs_start.js")
    # Found, not imported: we want the package's files and none of its code.
    package = find_spec("fastapi_offline")
    assert package is not None, "fastapi-offline belongs to the extra web"
    assert package.origin is not None
    return Path(package.origin).parent / "static" / file
