import socket

import pytest

from tweezer.cli.ports import CannotListen, address, choose_ports, local_address

LOOPBACK = "127.0.0.1"


def test_zero_becomes_free_ports_that_differ():
    ports = choose_ports(dict.fromkeys(("--port", "--batch-port", "--job-port"), (LOOPBACK, 0)))
    assert len(set(ports.values())) == 3
    assert all(1 <= port <= 65535 for port in ports.values())


def test_chosen_ports_can_be_listened_on_afterwards():
    port = choose_ports({"--port": (LOOPBACK, 0)})["--port"]
    assert choose_ports({"--port": (LOOPBACK, port)}) == {"--port": port}


def test_a_port_in_use_names_the_option():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {taken} is in use.*--job-port"):
            choose_ports({"--port": (LOOPBACK, 0), "--job-port": (LOOPBACK, taken)})


def test_the_same_port_twice_is_in_use():
    port = choose_ports({"--port": (LOOPBACK, 0)})["--port"]
    with pytest.raises(CannotListen, match="--batch-port"):
        choose_ports({"--port": (LOOPBACK, port), "--batch-port": (LOOPBACK, port)})


def test_an_address_of_another_machine_names_the_host():
    with pytest.raises(CannotListen, match=r"--host 192\.0\.2\.1"):
        choose_ports({"--port": ("192.0.2.1", 0)})


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
