"""Behind a load balancer that ends TLS: who comes, by what scheme, and whom that is believed."""

import pytest
import requests

JOB = "00000000-0000-0000-0000-000000000003"
LOGIN = {"grant_type": "password", "username": "ada", "password": "secret word"}

#: What a load balancer adds; the first address is what the caller itself claims.
FORWARDED = {
    "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
    "X-Forwarded-Proto": "https",
}


async def log_in(base: str, in_thread, **headers: str) -> None:
    answer = await in_thread(requests.post, f"{base}/oauth/token", data=LOGIN, headers=headers)
    assert answer.status_code == 200


async def link(base: str, in_thread, **headers: str) -> str:
    answer = await in_thread(
        requests.get,
        f"{base}/api/v1/jobs/{JOB}/results_link",
        headers={"Authorization": "Bearer x", **headers},
    )
    return answer.json()["data"]["results_link"]


class TestOneThatIsTrusted:
    @pytest.fixture
    def more_settings(self):
        return {"gateway_trusted_proxies": ["127.0.0.0/8"]}

    async def test_log_ins_count_as_those_of_the_caller(self, server_port, services, in_thread):
        base = f"http://127.0.0.1:{server_port}"
        await log_in(base, in_thread, **FORWARDED)
        assert services.last.metadata["x-tweezer-client-address"] == "198.51.100.7"
        await log_in(base, in_thread)
        assert services.last.metadata["x-tweezer-client-address"] == "127.0.0.1"

    async def test_links_have_the_scheme_of_the_caller(self, server_port, in_thread):
        base = f"http://127.0.0.1:{server_port}"
        found = await link(base, in_thread, Host="cloud.example", **FORWARDED)
        assert found.startswith("https://cloud.example/api/v1/results/")


class TestOneThatIsNot:
    @pytest.fixture(params=[[], ["10.0.0.0/8"]], ids=["nobody is", "others are"])
    def more_settings(self, request):
        return {"gateway_trusted_proxies": request.param}

    async def test_what_it_says_is_not_believed(self, server_port, services, in_thread):
        base = f"http://127.0.0.1:{server_port}"
        await log_in(base, in_thread, **FORWARDED)
        assert services.last.metadata["x-tweezer-client-address"] == "127.0.0.1"
        assert (await link(base, in_thread, **FORWARDED)).startswith(f"{base}/")
