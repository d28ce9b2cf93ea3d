"""The access table names exactly the RPCs of the protos."""

import importlib
from pathlib import Path

from tweezer.rpc.access import ACCESS, Access

GENERATED = Path(__file__).parents[2] / "protos" / "_generated"


def _rpcs() -> set[str]:
    rpcs = set()
    for file in GENERATED.rglob("*_service_pb2.py"):
        module = importlib.import_module(
            ".".join(file.relative_to(GENERATED).with_suffix("").parts)
        )
        for service in module.DESCRIPTOR.services_by_name.values():
            rpcs |= {f"/{service.full_name}/{method.name}" for method in service.methods}
    return rpcs


def test_the_table_names_every_rpc_of_ours_and_no_other() -> None:
    ours = {rpc for rpc in ACCESS if rpc.startswith("/tweezer.")}
    assert ours == _rpcs()


def test_internal_rpcs_are_for_services_and_public_ones_are_not() -> None:
    for rpc, access in ACCESS.items():
        assert (access is Access.SERVICE) == rpc.startswith("/tweezer.internal.")
