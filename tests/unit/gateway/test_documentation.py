"""The OpenAPI page agrees with the contract and with what the routes do."""

import pytest
from fastapi.routing import APIRoute

from tweezer.gateway.app import create_app
from tweezer.gateway.schemas import answers, bodies
from tweezer.gateway.settings import GatewaySettings

#: Operations of the contract to where they are served.
OPERATIONS = {
    "create_batch": ("post", "/api/v1/batches"),
    "list_batches": ("get", "/api/v1/batches"),
    "get_batch_v2": ("get", "/api/v2/batches/{batch_id}"),
    "get_batch_status": ("get", "/api/v1/batches/{batch_id}/status"),
    "list_jobs_v2": ("get", "/api/v2/jobs"),
    "get_job_v2": ("get", "/api/v2/jobs/{job_id}"),
    "get_job_status": ("get", "/api/v1/jobs/{job_id}/status"),
    "get_job_results_link": ("get", "/api/v1/jobs/{job_id}/results_link"),
    "download_job_result": ("get", "/api/v1/results/{ticket}"),
    "get_devices_specs": ("get", "/api/v1/devices/specs"),
    "get_public_devices_specs": ("get", "/api/v1/devices/public-specs"),
    "account_list_projects": ("get", "/account/api/v1/projects"),
    "oauth_token": ("post", "/oauth/token"),
}

#: Beside the operations of the contract.
OURS = {("get", "/health")}


@pytest.fixture(scope="module")
def app():
    return create_app(GatewaySettings(), None)


@pytest.fixture(scope="module")
def page(app):
    return app.openapi()


@pytest.fixture(scope="module")
def operations(contract):
    return {operation["id"]: operation for operation in contract["operations"]}


def test_every_operation_served_is_in_the_contract_and_documented(page, operations):
    served = {(method, path) for path, item in page["paths"].items() for method in item}

    assert served == set(OPERATIONS.values()) | OURS
    assert set(OPERATIONS) <= set(operations)


@pytest.mark.parametrize("name", OPERATIONS)
def test_path_and_method_are_those_of_the_contract(operations, name):
    method, path = OPERATIONS[name]
    if name == "download_job_result":
        return  # the server chooses where
    assert operations[name]["method"].lower() == method
    assert path.removeprefix("/account") == operations[name]["path"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_are_those_of_the_contract(page, operations, name):
    method, path = OPERATIONS[name]
    documented = {p["name"]: p for p in page["paths"][path][method].get("parameters", [])}
    expected = {p["name"]: p for p in operations[name]["params"]}
    if name == "download_job_result":
        expected = {"ticket": {"in": "path", "multi_valued": False}}

    assert documented.keys() == expected.keys()
    for key, parameter in documented.items():
        assert parameter["in"] == expected[key]["in"]
        assert (parameter["schema"].get("type") == "array") == expected[key]["multi_valued"]
        assert parameter["description"]
        assert parameter.get("deprecated", False) == expected[key].get("deprecated", False)
        if "default" in expected[key] and not expected[key]["multi_valued"]:
            assert parameter["schema"]["default"] == expected[key]["default"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_whether_a_token_is_needed_is_that_of_the_contract(page, operations, name):
    method, path = OPERATIONS[name]
    needs_token = "security" in page["paths"][path][method]

    assert needs_token == (operations[name]["auth"] == "yes")


def test_every_operation_has_words_and_documented_answers(page):
    for path, item in page["paths"].items():
        for operation in item.values():
            assert operation["summary"], path
            assert operation["description"], path
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert "$ref" in schema, path


def _fields(contract, schema):
    return {field["name"]: field for field in contract["schemas"][schema]["fields"]}


@pytest.mark.parametrize(
    "name",
    [
        "BatchListItem",
        "BatchWithJobs",
        "BatchDetail",
        "BatchStatusResponse",
        "JobPartialV1",
        "JobPartialV2",
        "JobFull",
        "JobStatusResponse",
        "ResultsLink",
        "DeviceSpecs",
        "JobResult",
        "TokenResponse",
        "Project",
    ],
)
def test_fields_of_answers_are_those_of_the_contract(contract, name):
    model = getattr(answers, name)
    fields = _fields(contract, name)
    required = {key for key, field in fields.items() if field["required"]}

    assert required <= model.model_fields.keys() <= fields.keys()
    for key, field in model.model_fields.items():
        can_be_null = type(None) in getattr(field.annotation, "__args__", ())
        if key != "errors":  # documented as null or list; always a list here
            assert can_be_null == fields[key]["nullable"], key
        if required:
            assert field.is_required(), key


def test_fields_of_a_new_batch_are_those_of_the_contract(operations):
    expected = {field["name"] for field in operations["create_batch"]["request_body"]["fields"]}

    assert bodies.CreateBatch.model_fields.keys() == expected


def test_fields_of_a_new_job_are_those_of_the_contract(contract):
    assert bodies.CreateJob.__annotations__.keys() == _fields(contract, "CreateJob").keys()


def test_every_reference_leads_somewhere(page):
    def references(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = set(references(page))
    assert "#/components/schemas/CreateBatch" in found
    for reference in found:
        target = page
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_routes_that_are_polled_are_tried_first(app):
    paths = [route.path for route in app.routes if isinstance(route, APIRoute)]

    assert paths[0] == "/api/v2/batches/{batch_id}"
    assert paths[1] == "/api/v1/batches/{batch_id}/status"
