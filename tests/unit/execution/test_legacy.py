"""Legacy emulator options."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tweezer.execution.emulators.legacy import (
    LegacyOptions,
    read_legacy_options,
    standard_noise,
)
from tweezer.execution.emulators.task import JobError

pytestmark = pytest.mark.filterwarnings("ignore")  # Pulser warns that its old names are old


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (None, LegacyOptions()),
        ("null", LegacyOptions()),
        ("{}", LegacyOptions()),
        ('{"with_noise": true}', LegacyOptions(with_noise=True)),
        ('{"strict_validation": true}', LegacyOptions(strict_validation=True)),
        ('{"with_noise": null, "extra": null}', LegacyOptions()),
        ('{"result_types": ["counter"]}', LegacyOptions()),
    ],
)
def test_known_options(text: str | None, options: LegacyOptions) -> None:
    assert read_legacy_options(text, "EMU_FREE") == options


def test_everything_the_client_can_say_is_understood() -> None:
    from pasqal_cloud.device import EmuFreeConfig

    sent = EmuFreeConfig(with_noise=True, strict_validation=True).to_dict()
    assert read_legacy_options(json.dumps(sent), "EMU_FREE") == LegacyOptions(True, True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "The configuration could not be read: it is not a JSON object"),
        ("{", "The configuration could not be read: Expecting property name"),
        ('{"dt": 10, "a": 1}', "options that EMU_FREE does not know: a, dt"),
        ('{"with_noise": "yes"}', "with_noise of the configuration must be true or false"),
        ('{"result_types": ["sample"]}', "The only result type of EMU_FREE is counter"),
        ('{"result_types": 3}', "The only result type of EMU_FREE is counter"),
    ],
)
def test_bad_options(text: str, sentence: str) -> None:
    with pytest.raises(JobError, match=sentence):
        read_legacy_options(text, "EMU_FREE")


def test_standard_noise_is_that_of_pulser() -> None:
    from pulser_simulation import SimConfig

    legacy: Any = SimConfig(noise=("SPAM", "doppler", "amplitude")).to_noise_model()
    # How often to run is said elsewhere.
    assert standard_noise() == replace(legacy, runs=None, samples_per_run=1)
