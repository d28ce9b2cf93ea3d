"""The audit log: what is recorded, where it goes, and what never gets in."""

import json
import logging

import pytest
from google.protobuf import descriptor_pool

from tweezer.identity import hosting  # noqa: F401 - loads the messages of the identity services
from tweezer.process.audit_log import LOGGER, configure_audit_log, record
from tweezer.process.settings import ProcessSettings
from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.audit import AUDITED
from tweezer.v1 import (  # noqa: F401 - so that the pool knows their messages
    batch_service_pb2,
    job_service_pb2,
    operator_service_pb2,
    webhook_service_pb2,
)

#: Fields that hold secrets.
SECRETS = {"password", "access_token", "ticket"}


@pytest.fixture
def audit_logger():
    logger = logging.getLogger(LOGGER)
    before = logger.handlers[:], logger.propagate, logger.level
    yield logger
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


def method_of(rpc):
    _, service, name = rpc.split("/")
    pool = descriptor_pool.Default()
    return pool.FindServiceByName(service).methods_by_name[name]


@pytest.mark.parametrize("rpc", AUDITED)
def test_what_is_recorded_are_fields_that_exist_and_no_secrets(rpc):
    method = method_of(rpc)
    for message, paths in (
        (method.input_type, AUDITED[rpc].asked),
        (method.output_type, AUDITED[rpc].answered),
    ):
        for path in paths:
            found = message
            for step in path.split("."):
                field = found.fields_by_name[step]
                found = field.message_type
            assert found is None, f"{path} is a message"
            assert field.name not in SECRETS


def test_every_call_that_changes_something_is_recorded():
    reading = ("Get", "List", "Watch", "Download")
    changing = {
        rpc
        for rpc, access in ACCESS.items()
        if access in (Access.USER, Access.OPERATOR)
        and not rpc.rpartition("/")[2].startswith(reading)
    }
    assert changing == set(AUDITED)


def test_lines_go_to_a_file_in_the_data_folder(tmp_path, audit_logger):
    configure_audit_log(ProcessSettings(data_dir=tmp_path / "data"))
    record("batch created", by="u1", outcome="OK")
    record("batch cancelled", by="u\n1", outcome="OK")
    lines = (tmp_path / "data" / "audit.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["batch created", "batch cancelled"]
    assert json.loads(lines[0]).keys() == {"time", "event", "by", "outcome"}


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path, audit_logger):
    configure_audit_log(ProcessSettings(data_dir=tmp_path))
    record("first")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    record("second")
    assert json.loads((tmp_path / "audit.log").read_text())["event"] == "second"


def test_lines_can_go_to_standard_error(tmp_path, audit_logger, capfd):
    configure_audit_log(ProcessSettings(data_dir=tmp_path, audit_log="stderr"))
    record("batch created", by="u1")
    assert json.loads(capfd.readouterr().err)["by"] == "u1"
    assert list(tmp_path.iterdir()) == []
