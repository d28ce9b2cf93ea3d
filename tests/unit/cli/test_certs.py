"""`tweezer certs`: what it makes, what it keeps, and who can read it."""

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from pydantic import ValidationError
from typer.testing import CliRunner

from tweezer.cli import authority
from tweezer.cli.authority import PROCESSES, Authority, CannotCertify
from tweezer.cli.main import app
from tweezer.process.settings import ProcessSettings


def certificate(file):
    _, mark, rest = file.read_text().partition("-----BEGIN CERTIFICATE-----")
    return x509.load_pem_x509_certificate((mark + rest).encode())


def test_the_command_makes_them_and_then_keeps_them(tmp_path):
    words = ["certs", "--host", "tweezer.example", "--host", "10.0.0.7", "--data-dir"]
    first = CliRunner().invoke(app, [*words, str(tmp_path)])
    second = CliRunner().invoke(app, ["certs", "--data-dir", str(tmp_path)])
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output.count("made:") == len(PROCESSES)
    assert second.output.count("kept:") == len(PROCESSES)
    for output in (first.output, second.output):
        assert "tweezer.example" in output
        assert "10.0.0.7" in output


def test_only_the_owner_reads_keys(tmp_path):
    Authority(tmp_path / "tls").certify()
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "tls").iterdir()}
    private = {f"{name}.pem" for name in PROCESSES} | {"ca.key"}
    assert modes == {**dict.fromkeys(private, 0o600), "ca.crt": 0o644}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_they_name_their_process_and_hosts_and_are_no_authorities(tmp_path):
    for made in Authority(tmp_path).certify(["tweezer.example"]):
        found = certificate(made.file)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
            f"spiffe://tweezer/{made.process}"
        ]
        assert names.get_values_for_type(x509.DNSName) == ["localhost", "tweezer.example"]
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert not constraints.ca
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.file)


def test_one_that_ends_soon_is_renewed_with_its_names(tmp_path, monkeypatch):
    monkeypatch.setattr(authority, "_LIFE", timedelta(days=100))
    Authority(tmp_path).certify(["tweezer.example"])
    monkeypatch.undo()
    renewed = Authority(tmp_path).certify()
    assert all(each.made for each in renewed)
    assert all("tweezer.example" in each.hosts for each in renewed)
    assert all(each.ends > datetime.now(UTC) + timedelta(days=300) for each in renewed)
    assert not any(each.made for each in Authority(tmp_path).certify())


def test_another_host_makes_them_anew(tmp_path):
    Authority(tmp_path).certify(["one.example"])
    assert {each.hosts[3:] for each in Authority(tmp_path).certify(["two.example"])} == {
        ("one.example", "two.example")
    }


def test_without_its_key_the_authority_signs_nothing(tmp_path):
    Authority(tmp_path).certify()
    (tmp_path / "ca.key").unlink()
    assert not any(each.made for each in Authority(tmp_path).certify())
    with pytest.raises(CannotCertify, match=r"ca\.key"):
        Authority(tmp_path).certify(anew=True)


def test_a_certificate_of_another_authority_is_replaced(tmp_path):
    Authority(tmp_path / "a").certify()
    Authority(tmp_path / "b").certify()
    (tmp_path / "a" / "job.pem").replace(tmp_path / "b" / "job.pem")
    made = {each.process: each.made for each in Authority(tmp_path / "b").certify()}
    assert made == {"gateway": False, "batch": False, "job": True, "execution": False}


def test_a_host_that_is_none_is_refused(tmp_path):
    with pytest.raises(CannotCertify, match="neither a host name nor an address"):
        Authority(tmp_path).certify(["a" * 64 + ".example"])


@pytest.mark.parametrize(
    "given", ["tls_cert_file", "tls_key_file", "mtls_cert_file", "mtls_key_file", "mtls_ca_file"]
)
def test_half_of_a_certificate_is_refused(tmp_path, given):
    with pytest.raises(ValidationError, match="need each other"):
        ProcessSettings(**{given: tmp_path / "x.pem"})


def test_files_set_one_by_one_override_those_of_the_folder(tmp_path):
    other = tmp_path / "other.pem"
    settings = ProcessSettings(tls_dir=tmp_path, tls_cert_file=other, tls_key_file=other)
    tls = settings.tls
    assert tls.own is not None
    assert tls.mutual is not None
    assert tls.own.certificate == other
    assert tls.authority == tls.mutual.authority == tmp_path / "ca.crt"
    assert tls.mutual.own.certificate == tmp_path / "client.pem"
    assert ProcessSettings().tls.own is None
