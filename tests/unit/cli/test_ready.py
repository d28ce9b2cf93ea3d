"""`tweezer ready` says whether a process serves."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from tweezer.cli.main import app
from tweezer.cli.ready import _local


class Service:
    """A gRPC server with the health service."""

    def __init__(self) -> None:
        self.health: Any = health.HealthServicer()
        self.server = grpc.server(ThreadPoolExecutor(2))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.stop(None).wait()


def ask(*words: str, **environment: str) -> Any:
    return CliRunner().invoke(app, ["ready", *words], env={"COLUMNS": "300", **environment})


@pytest.mark.parametrize("name", ["batch", "job", "execution"])
def test_a_service_is_ready_when_it_says_so(service: Service, name: str) -> None:
    # As in a container, it listens on every address.
    where = {f"TWEEZER_{name.upper()}_LISTEN": f"0.0.0.0:{service.port}"}
    service.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    result = ask(name, **where)
    assert (result.exit_code, result.stderr) == (
        1,
        f"tweezer: {name} at 127.0.0.1:{service.port} does not serve: NOT_SERVING\n",
    )
    service.health.set("", health_pb2.HealthCheckResponse.SERVING)
    result = ask(name, **where)
    assert (result.exit_code, result.output) == (0, "")


def test_nobody_there_is_not_ready(service: Service) -> None:
    service.server.stop(None).wait()
    result = ask("job", TWEEZER_JOB_LISTEN=f"127.0.0.1:{service.port}")
    assert result.exit_code == 1
    assert "does not serve: UNAVAILABLE" in result.stderr


def test_a_gateway_is_ready_when_it_answers_well() -> None:
    answers = [503, 200]
    asked = []

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(answers[len(asked) - 1])
            self.end_headers()
            self.wfile.write(b"why")

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        where = {"TWEEZER_GATEWAY_PORT": str(server.server_port)}
        first, second = ask("gateway", **where), ask("gateway", **where)
        server.shutdown()
        thread.join()
    assert first.exit_code == 1
    assert "does not serve: why" in first.stderr
    assert second.exit_code == 0
    assert asked == ["/ready", "/ready"]


def test_who_serves_by_tls_must_say_whom_to_trust() -> None:
    result = ask("batch", TWEEZER_TLS_CERT_FILE="/c.pem", TWEEZER_TLS_KEY_FILE="/k.pem")
    assert result.exit_code == 1
    assert "TWEEZER_TLS_CA_FILE" in result.stderr


@pytest.mark.parametrize(
    ("listen", "asked"),
    [
        ("0.0.0.0:8001", "127.0.0.1:8001"),
        ("[::]:8001", "[::1]:8001"),
        ("10.1.2.3:8001", "10.1.2.3:8001"),
        ("unix:/run/batch.sock", "unix:/run/batch.sock"),
    ],
)
def test_where_it_is_asked(listen: str, asked: str) -> None:
    assert _local(listen) == asked
