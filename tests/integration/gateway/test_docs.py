"""The page to read the API in."""

import re

import pytest


@pytest.mark.parametrize("prefix", ["", "/core-fast"])
async def test_the_page_loads_nothing_from_elsewhere(client, services, prefix):
    del client.headers["Authorization"]

    page = await client.get(f"{prefix}/docs")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r"https?://", page.text) == []
    assert re.search(r'"validatorUrl": null', page.text)
    linked = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(linked) == 3
    for path in linked:
        assert path.startswith(f"{prefix}/docs/")
        file = await client.get(path)
        assert file.status_code == 200
        assert file.headers["content-type"].split("/")[0] in ("text", "image")
        assert len(file.content) > 1000
    (openapi,) = re.findall(r"[\"']?url[\"']?: ['\"]([^'\"]+)['\"]", page.text)
    assert openapi == f"{prefix}/openapi.json"
    described = await client.get(openapi)
    assert described.json()["openapi"].startswith("3.1")
    assert services.calls == []
