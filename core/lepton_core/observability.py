"""Logs: one line for each record, with service and request, and no credential whatever somebody logged.

Servers also take an `observe` callback (method, code, seconds): the place where metrics and traces attach.
"""

import json
import logging
import re
import sys
import time
from typing import TextIO

from lepton_core.request_context import request_id_or_none

# Our own tokens, Authorization headers, passwords within URLs, and signatures of presigned URLs.
_CREDENTIALS = (
    (re.compile(r"\b(lp[ksa]_[0-9A-Za-z-]{1,64}_)[0-9a-f]{8,}"), r"\1***"),
    (re.compile(r"(?i)\b(bearer\s+)(?!lp[ksa]_)[^\s'\",]+"), r"\1***"),
    (re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), r"\1***@"),
    (re.compile(r"(?i)([?&]x-amz-(?:signature|credential|security-token)=)[^&\s'\"]+"), r"\1***"),
)


def redact(text: str) -> str:
    """`text` without credentials."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def configure_logging(
    service: str, level: str = "INFO", *, json_lines: bool = False, stream: TextIO | None = None
) -> None:
    """Sets up the root logger of a service's process; called once, in `main.py`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines(service) if json_lines else _Plain(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # One line for each request or poll is too much at any level that people run with.
    for noisy in (
        "uvicorn.access",
        "httpx",
        "httpcore",
        "urllib3",
        "kombu",
        "celery.worker.strategy",
        "celery.app.trace",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


class _Plain(logging.Formatter):
    def __init__(self, service: str) -> None:
        line = f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {service} %(name)s: %(message)s"
        super().__init__(line, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        request_id = request_id_or_none()
        line = super().format(record)
        return redact(f"{line} [{request_id}]" if request_id and not record.exc_info else line)


class _JsonLines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time_us": int(record.created * 1_000_000),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        request_id = request_id_or_none()
        if request_id:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)
