import socket

import pytest

from tweezer.cli.ports import CannotListen, address, hold_ports, local_address

LOOPBACK = "127.0.0.1"


def test_zero_becomes_free_ports_that_differ():
    wanted = dict.fromkeys(("--port", "--batch-port", "--job-port"), (LOOPBACK, 0))
    with hold_ports(wanted) as ports:
        assert len(set(ports.values())) == 3
        assert all(1 <= port <= 65535 for port in ports.values())


def test_a_held_port_can_be_listened_on_again_and_again():
    with hold_ports({"--port": (LOOPBACK, 0)}) as ports:
        for _ in range(2):
            with socket.create_server((LOOPBACK, ports["--port"])):
                pass


def test_a_held_port_is_nobody_elses():
    with (
        hold_ports({"--port": (LOOPBACK, 0)}) as ports,
        socket.socket() as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind((LOOPBACK, ports["--port"]))


def test_a_port_in_use_names_the_option():
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        wanted = {"--port": (LOOPBACK, 0), "--job-port": (LOOPBACK, taken)}
        with pytest.raises(CannotListen, match=f"port {taken} is in use.*--job-port"):
            hold_ports(wanted).__enter__()


def test_the_same_port_twice_is_in_use():
    with hold_ports({"--port": (LOOPBACK, 0)}) as ports:
        port = ports["--port"]
    wanted = {"--port": (LOOPBACK, port), "--batch-port": (LOOPBACK, port)}
    with pytest.raises(CannotListen, match="--batch-port"):
        hold_ports(wanted).__enter__()


def test_a_port_that_is_held_and_listened_on_is_in_use():
    with (
        hold_ports({"--port": (LOOPBACK, 0)}) as ports,
        socket.create_server((LOOPBACK, ports["--port"])),
        pytest.raises(CannotListen, match="--port"),
    ):
        hold_ports({"--port": (LOOPBACK, ports["--port"])}).__enter__()


def test_an_address_of_another_machine_names_the_host():
    with pytest.raises(CannotListen, match=r"--host 192\.0\.2\.1"):
        hold_ports({"--port": ("192.0.2.1", 0)}).__enter__()


@pytest.mark.parametrize(
    ("host", "listen", "connect"),
    [
        ("127.0.0.1", "127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0", "0.0.0.0:80", "127.0.0.1:80"),
        ("::1", "[::1]:80", "[::1]:80"),
        ("::", "[::]:80", "[::1]:80"),
    ],
)
def test_addresses_to_listen_on_and_to_connect_to(host, listen, connect):
    assert (address(host, 80), local_address(host, 80)) == (listen, connect)
