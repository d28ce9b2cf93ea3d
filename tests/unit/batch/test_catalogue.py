"""The device catalogue, and which device a batch means."""

import json
import runpy
from pathlib import Path

import pulser
import pytest
from pulser.json.abstract_repr.deserializer import deserialize_device

from tweezer.batch.checks.device_choice import device_of_sequences, device_of_type
from tweezer.batch.devices.catalogue import FOLDER, read_catalogue
from tweezer.rpc.errors import InvalidInput

SHIPPED = ["EMU_FREE", "EMU_FRESNEL", "EMU_MPS", "EMU_SV", "FRESNEL", "FRESNEL_CAN1"]


@pytest.fixture
def folder(tmp_path):
    """Two more devices beside the ones that are shipped."""
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
    assert catalogue.device_types == sorted([*SHIPPED, "OLD", "QPU"])
    assert catalogue.find("QPU").max_atoms == 5
    assert catalogue.find("EMU_FREE").max_atoms == 16
    assert len({device.id for device in catalogue}) == len(SHIPPED) + 2


def test_a_type_must_be_known_and_take_batches(folder):
    catalogue = read_catalogue({}, folder)
    assert device_of_type(catalogue, "QPU").device_type == "QPU"
    assert (
        refusal(device_of_type, catalogue, "qpu")
        == f"device_type: 'qpu' is not one of {', '.join(catalogue.device_types)}"
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


def test_a_folder_overrides_what_is_shipped(tmp_path):
    for suffix in (".json", ".toml"):
        (tmp_path / f"EMU_FREE{suffix}").write_text(
            (FOLDER / f"EMU_FREE{suffix}").read_text().replace("small registers", "everything")
        )
    catalogue = read_catalogue({}, tmp_path)
    assert catalogue.device_types == SHIPPED
    assert "everything" in catalogue.find("EMU_FREE").description


def test_the_files_are_those_that_the_script_writes():
    script = Path(__file__).parents[3] / "scripts" / "make_device_files.py"
    devices = runpy.run_path(str(script))["devices"]()
    assert sorted(device.name for device in devices) == SHIPPED
    for device in devices:
        stored = json.loads((FOLDER / f"{device.name}.json").read_text())
        assert stored == json.loads(device.to_abstract_repr())


@pytest.mark.parametrize("name", ["FRESNEL", "FRESNEL_CAN1"])
def test_registers_can_be_laid_out_on_the_qpus(name):
    device = deserialize_device(read_catalogue({}).find(name).specs)
    register = pulser.Register.square(5, 5, prefix="q").with_automatic_layout(device)
    sequence = pulser.Sequence(register, device)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(pulser.Pulse.ConstantPulse(100, 1, 0, 0), "ch")
    pulser.backend.remote.RemoteBackend.validate_sequence(sequence, mimic_qpu=True)
    assert device.requires_layout
    assert len(device.pre_calibrated_layouts) == 1
    assert device.max_runs == 2000
    assert device.max_sequence_duration == 6000
    assert device.noise_model.noise_types


def test_the_qpus_are_exclusive_and_strict():
    catalogue = read_catalogue({})
    exclusive = {d.device_type for d in catalogue if d.exclusive}
    assert exclusive == {"EMU_FRESNEL", "FRESNEL", "FRESNEL_CAN1"}
    assert {d.device_type for d in catalogue if d.strict} == exclusive
    assert {d.device_type for d in catalogue if not d.is_emulator} == {"FRESNEL", "FRESNEL_CAN1"}


def test_the_atom_limit_of_a_qpu_is_what_is_emulated():
    before, after = (read_catalogue(limits).find("FRESNEL") for limits in ({}, {"FRESNEL": 6}))
    assert (before.atom_limit, after.atom_limit) == (12, 6)
    assert before.specs == after.specs


@pytest.mark.parametrize(("name", "module"), [("EMU_SV", "emu_sv"), ("EMU_MPS", "emu_mps")])
def test_emulators_that_cannot_run_say_why(name, module, tmp_path, monkeypatch):
    package = module.replace("_", "-")
    # Whether the package is installed here or not:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    catalogue = read_catalogue({})
    assert refusal(device_of_type, catalogue, name) == (
        f"device_type: {name} takes no batches: {package} is not installed"
    )
    assert catalogue.find(name).status == "DOWN"
    monkeypatch.undo()
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert refusal(device_of_type, read_catalogue({}), name) == (
        f"device_type: {name} takes no batches: {package} is not supported yet"
    )
