"""Settings of the gateway."""

import pytest
from pydantic import ValidationError

from tweezer.gateway.settings import GatewaySettings
from tweezer.rpc.settings import RpcSettings


def test_facts_shared_with_the_services_have_the_same_names_and_defaults():
    for name in ("batch_address", "job_address", "max_message_bytes"):
        ours, theirs = GatewaySettings.model_fields[name], RpcSettings.model_fields[name]
        assert (ours.annotation, ours.default) == (theirs.annotation, theirs.default)


def test_it_listens_on_loopback_unless_told_otherwise():
    assert GatewaySettings().gateway_host == "127.0.0.1"


def test_environment_variables_set_it(monkeypatch):
    monkeypatch.setenv("TWEEZER_GATEWAY_PORT", "9")
    monkeypatch.setenv("TWEEZER_JOB_ADDRESS", "unix:/job")

    settings = GatewaySettings()

    assert (settings.gateway_port, settings.job_address) == (9, "unix:/job")


def test_a_body_that_would_fit_in_no_message_is_not_let_in():
    with pytest.raises(ValidationError, match="must not be above max_message_bytes"):
        GatewaySettings(gateway_max_body_bytes=2 * 1024 * 1024, max_message_bytes=1024 * 1024)


@pytest.mark.parametrize("url", ["cloud.example", "ftp://cloud.example", "http://"])
def test_a_public_url_is_one(url):
    with pytest.raises(ValidationError):
        GatewaySettings(public_url=url)
