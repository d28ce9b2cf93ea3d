"""The audit log: a stream of JSON lines apart from the other messages."""

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import Any, Final

import structlog

from tweezer.process import request_ids
from tweezer.process.settings import ProcessSettings

log = structlog.get_logger(__name__)

LOGGER: Final = "tweezer.audit"


def record(event: str, **facts: Any) -> None:
    """Adds a line."""
    request_id = request_ids.current()
    if request_id is not None:
        facts["request_id"] = request_id
    line = {"time": datetime.now(UTC).isoformat(), "event": event, **facts}
    logging.getLogger(LOGGER).info(json.dumps(line))


class _AuditFile(WatchedFileHandler):
    """Appends to a file; a line that it does not take goes to the other messages."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - of logging.Handler
        """Says in one line what is the matter, and what would have been recorded."""
        log.error(
            "the audit log cannot be written",
            reason=str(sys.exc_info()[1]),
            line=record.getMessage(),
        )


def configure_audit_log(settings: ProcessSettings) -> None:
    """Sends the lines where the settings say."""
    handler: logging.Handler
    if settings.audit_log == "file":
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        # Several processes append to it, each line at once; a program may move it away to rotate.
        handler = _AuditFile(settings.data_dir / "audit.log", delay=True)
    else:
        handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger(LOGGER)
    for former in logger.handlers[:]:
        logger.removeHandler(former)
        former.close()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
