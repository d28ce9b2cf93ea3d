"""The device catalogue, and which device a batch means."""

import json

import pytest
from pulser.json.abstract_repr.deserializer import deserialize_device

from tweezer.batch.checks.device_choice import device_of_sequences, device_of_type
from tweezer.batch.devices.catalogue import FOLDER, read_catalogue
from tweezer.rpc.errors import InvalidInput


@pytest.fixture
def folder(tmp_path):
    """Two more devices beside the ones that are shipped."""
    for file in FOLDER.iterdir():
        if file.suffix in (".json", ".toml"):
            (tmp_path / file.name).write_text(file.read_text())
    specs = json.loads((FOLDER / "EMU_FREE.json").read_text())
    facts = (FOLDER / "EMU_FREE.toml").read_text().replace('["MockDevice"]', "[]")
    for name, availability in (("QPU", "ACTIVE"), ("OLD", "RETIRED")):
        (tmp_path / f"{name}.json").write_text(json.dumps({**specs, "name": f"{name} 1"}))
        (tmp_path / f"{name}.toml").write_text(
            facts.replace('"ACTIVE"', f'"{availability}"') + 'status_message = "gone"\n'
        )
    return tmp_path


def refusal(choose, *arguments):
    with pytest.raises(InvalidInput) as refused:
        choose(*arguments)
    return str(refused.value)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_pulser_reads_every_device_that_is_shipped(file):
    device = read_catalogue({}).find(file.stem)
    assert deserialize_device(device.specs).name == file.stem
    assert device.id == read_catalogue({}).find(file.stem).id


def test_a_device_is_a_pair_of_files(folder):
    catalogue = read_catalogue({"QPU": 5}, folder)
    assert catalogue.device_types == ["EMU_FREE", "OLD", "QPU"]
    assert catalogue.find("QPU").max_atoms == 5
    assert catalogue.find("EMU_FREE").max_atoms == 16
    assert len({device.id for device in catalogue}) == 3


def test_a_type_must_be_known_and_take_batches(folder):
    catalogue = read_catalogue({}, folder)
    assert device_of_type(catalogue, "QPU").device_type == "QPU"
    assert (
        refusal(device_of_type, catalogue, "qpu")
        == "device_type: 'qpu' is not one of EMU_FREE, OLD, QPU"
    )
    assert refusal(device_of_type, catalogue, "OLD") == "device_type: OLD takes no batches: gone"


def test_sequences_tell_the_device_by_type_or_name(folder):
    catalogue = read_catalogue({}, folder)
    for name, expected in (
        ("MockDevice", "EMU_FREE"),
        ("EMU_FREE", "EMU_FREE"),
        ("QPU", "QPU"),
        ("QPU 1", "QPU"),
    ):
        assert device_of_sequences(catalogue, [name, name]).device_type == expected
    assert "is not one of" in refusal(device_of_sequences, catalogue, ["Elsewhere"])
    assert "several devices" in refusal(device_of_sequences, catalogue, ["QPU", "MockDevice"])
    assert refusal(device_of_sequences, catalogue, ["OLD 1"]) == (
        "device_type: OLD takes no batches: gone"
    )
