"""HTTPS, and TLS to the services behind the gateway."""

import asyncio
import ssl

import grpc
import httpx
import pytest

from tweezer.cli.authority import Authority
from tweezer.gateway.server import serve
from tweezer.gateway.settings import GatewaySettings
from tweezer.process.run import StartFailed

JOB = "00000000-0000-0000-0000-000000000003"
HEADERS = {"Authorization": "Bearer the-token"}


@pytest.fixture
def authority(tmp_path):
    authority = Authority(tmp_path / "tls")
    authority.certify()
    return authority


@pytest.fixture
def more_settings(authority):
    """HTTPS for clients; the services of these tests speak without TLS."""
    pem = authority.certificate_file.with_name("gateway.pem")
    return {"tls_cert_file": pem, "tls_key_file": pem}


def trusting(authority):
    return ssl.create_default_context(cafile=authority.certificate_file)


async def test_https_is_served_and_links_say_so(server_port, authority, services):
    base = f"https://127.0.0.1:{server_port}"
    async with httpx.AsyncClient(
        verify=trusting(authority), trust_env=False, headers=HEADERS
    ) as http:
        assert (await http.get(f"{base}/health")).status_code == 200
        answer = await http.get(f"{base}/api/v1/jobs/{JOB}/results_link")
    assert answer.json()["data"]["results_link"].startswith(f"{base}/api/v1/results/")


async def test_plain_http_is_not_served(server_port):
    with pytest.raises(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(f"http://127.0.0.1:{server_port}/health")


async def test_a_client_that_does_not_trust_the_authority_gets_nothing(server_port, tmp_path):
    foreign = Authority(tmp_path / "foreign")
    foreign.certify()
    for verify in (True, trusting(foreign)):
        async with httpx.AsyncClient(verify=verify, trust_env=False) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(f"https://127.0.0.1:{server_port}/health")


async def test_old_protocols_are_refused(server_port, authority):
    context = trusting(authority)
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection("127.0.0.1", server_port, ssl=context)


async def test_a_renewed_certificate_is_shown_without_a_restart(server_port, authority):
    async def shown():
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server_port, ssl=trusting(authority)
        )
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        await writer.wait_closed()
        assert not reader.at_eof() or certificate
        return certificate["serialNumber"]

    before = await shown()
    assert await shown() == before
    authority.certify(anew=True)
    assert await shown() != before


async def test_services_are_called_by_tls(authority, services, batch_server, job_server):
    """The same servicers behind TLS ports; the gateway trusts their authority, or asks nothing."""
    pem = authority.certificate_file.with_name("batch.pem").read_bytes()
    ports = []
    for server in (batch_server, job_server):
        await server.stop()
        server.credentials = grpc.ssl_server_credentials([(pem, pem)])
        await server.start()
        ports.append(server.address)
    for trusted, status in ((authority.certificate_file, 200), (None, 503)):
        settings = GatewaySettings(
            batch_address=ports[0],
            job_address=ports[1],
            gateway_port=0,
            gateway_call_deadline=5,
            tls_ca_file=trusted,
        )
        stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(settings, stop, listening))
        async with httpx.AsyncClient(trust_env=False, headers=HEADERS, timeout=30) as http:
            answer = await http.get(f"http://127.0.0.1:{await listening}/api/v2/jobs")
        stop.set()
        await serving
        assert answer.status_code == status


async def test_a_certificate_that_is_missing_is_named(settings, tmp_path):
    missing = tmp_path / "no.pem"
    settings = settings.model_copy(update={"tls_cert_file": missing, "tls_key_file": missing})
    with pytest.raises(StartFailed, match=r"no\.pem.*No such file"):
        await serve(settings, asyncio.Event())
