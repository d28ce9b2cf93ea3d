"""Runs a parametrised sequence through the public `pasqal-cloud` client, as on the cloud.

pip install pasqal-cloud
tweezer up                       # in another terminal
python examples/pasqal_cloud_client.py
"""

import json
import subprocess
from typing import Any

from pasqal_cloud import PasqalCloudConnection, RemoteEmuFreeBackend
from pasqal_cloud.endpoints import Endpoints, TokenProviderConf
from pulser import Pulse, Register, Sequence
from pulser.backend import BitStrings, EmulationConfig, Occupation
from pulser.devices import AnalogDevice
from pulser.waveforms import BlackmanWaveform


def connect() -> PasqalCloudConnection:
    """Connects the client to the running stack: only the addresses differ from the cloud."""
    facts = json.loads(subprocess.check_output(["tweezer", "connection", "--json"]))
    return PasqalCloudConnection(
        username=facts["username"],
        password=facts["password"],
        project_id=facts["project_id"],
        endpoints=Endpoints(core=facts["core"], account=facts["account"]),
        auth_config=TokenProviderConf(
            token_endpoint=facts["token_endpoint"],
            public_client_id="pasqal-cloud",
            audience="tweezer",
            realm="tweezer",
            grant_type="password",
        ),
    )


def blockade() -> Sequence[Any]:
    """Excites two atoms that hinder each other by a pulse of a given area."""
    register = Register.from_coordinates([(0, 0), (6, 0)], prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    area = sequence.declare_variable("area")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(BlackmanWaveform(1000, area), 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


def main() -> None:
    """Runs three areas and prints what was measured, and how excited the atoms were."""
    config: EmulationConfig[Any] = EmulationConfig(
        observables=[BitStrings(num_shots=1000), Occupation(evaluation_times=[1.0])]
    )
    backend = RemoteEmuFreeBackend(blockade(), connect(), config=config)
    areas = [1.0, 2.2, 4.4]
    results = backend.run(job_params=[{"variables": {"area": area}} for area in areas], wait=True)
    for area, result in zip(areas, results.results, strict=True):
        occupation = [round(float(value), 3) for value in result.get_result("occupation", 1.0)]
        print(f"area {area}: {dict(result.final_bitstrings)}, occupation {occupation}")


if __name__ == "__main__":
    main()
