"""The OpenAPI page agrees with the contract and with what the routes do."""

import pytest
from fastapi.routing import APIRoute

from tweezer.gateway.app import create_app
from tweezer.gateway.routes.not_offered import NOT_OFFERED
from tweezer.gateway.schemas import answers, bodies
from tweezer.gateway.settings import GatewaySettings

OVH = "/api/v1/third-party-access/ovh"

#: Operations of the contract to where they are served.
OPERATIONS = {
    "create_batch": ("post", "/api/v1/batches"),
    "list_batches": ("get", "/api/v1/batches"),
    "get_batch_v2": ("get", "/api/v2/batches/{batch_id}"),
    "get_batch_status": ("get", "/api/v1/batches/{batch_id}/status"),
    "add_jobs_v2": ("post", "/api/v2/batches/{batch_id}/jobs"),
    "close_batch_v2": ("patch", "/api/v2/batches/{batch_id}/complete"),
    "cancel_batch_v2": ("patch", "/api/v2/batches/{batch_id}/cancel"),
    "cancel_batches": ("patch", "/api/v1/batches/cancel"),
    "cancel_batch_jobs_v2": ("patch", "/api/v2/batches/{batch_id}/cancel/jobs"),
    "rebatch": ("post", "/api/v1/batches/{batch_id}/rebatch"),
    "set_batch_tags": ("patch", "/api/v1/batches/{batch_id}/tags"),
    "cancel_job_v2": ("patch", "/api/v2/jobs/{job_id}/cancel"),
    "get_last_activity": ("get", "/api/v1/batches/last_activity"),
    "get_batch_full_results": ("get", "/api/v1/batches/{batch_id}/full_results"),
    "get_batch_results_links": ("get", "/api/v1/batches/{batch_id}/results_link"),
    "get_batch_v1": ("get", "/api/v1/batches/{batch_id}"),
    "add_jobs_v1": ("post", "/api/v1/batches/{batch_id}/jobs"),
    "close_batch_v1": ("put", "/api/v1/batches/{batch_id}/complete"),
    "cancel_batch_v1": ("put", "/api/v1/batches/{batch_id}/cancel"),
    "cancel_batch_jobs_v1": ("put", "/api/v1/batches/{batch_id}/cancel/jobs"),
    "list_jobs_v1": ("get", "/api/v1/jobs"),
    "get_job_v1": ("get", "/api/v1/jobs/{job_id}"),
    "create_job_v1": ("post", "/api/v1/jobs"),
    "cancel_job_v1": ("put", "/api/v1/jobs/{job_id}/cancel"),
    "list_jobs_v2": ("get", "/api/v2/jobs"),
    "get_job_v2": ("get", "/api/v2/jobs/{job_id}"),
    "get_job_status": ("get", "/api/v1/jobs/{job_id}/status"),
    "get_job_results_link": ("get", "/api/v1/jobs/{job_id}/results_link"),
    "download_job_result": ("get", "/api/v1/results/{ticket}"),
    "get_devices_specs": ("get", "/api/v1/devices/specs"),
    "get_public_devices_specs": ("get", "/api/v1/devices/public-specs"),
    "get_device_specs_by_type": ("get", "/api/v1/devices/specs/{device_type}"),
    "list_public_devices": ("get", "/api/v1/devices"),
    "list_devices_v2": ("get", "/api/v2/devices"),
    "get_device_queue": ("get", "/api/v1/devices/{dt_name}/queue"),
    "ovh_create_batch": ("post", f"{OVH}/batches"),
    "ovh_get_batch": ("get", f"{OVH}/batches/{{batch_id}}"),
    "ovh_get_batch_status": ("get", f"{OVH}/batches/{{batch_id}}/status"),
    "ovh_list_jobs": ("get", f"{OVH}/jobs"),
    "ovh_get_job_status": ("get", f"{OVH}/jobs/{{job_id}}/status"),
    "ovh_get_job_results_link": ("get", f"{OVH}/jobs/{{job_id}}/results_link"),
    "account_auth_info": ("get", "/account/api/v1/auth/info"),
    "account_list_projects": ("get", "/account/api/v1/projects"),
    "oauth_token": ("post", "/oauth/token"),
}

#: Beside the operations of the contract.
OURS = {("get", "/health"), ("get", "/ready"), ("get", "/api/v1/batches/{batch_id}/events")}

#: Takes the name of a request beside the parameters of the contract: what makes something.
NAMED = {
    "create_batch",
    "ovh_create_batch",
    "add_jobs_v2",
    "add_jobs_v1",
    "create_job_v1",
    "rebatch",
}


#: In the contract without a path of its own: /health does what it says.
ELSEWHERE = {"health_check"}


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


def test_every_operation_of_the_contract_is_served_or_refused_with_a_sentence(operations):
    refused = {(method, path.removeprefix("/account")) for method, path, _ in NOT_OFFERED}
    others = {name: op for name, op in operations.items() if name not in OPERATIONS}
    documented = {
        (method, operation["path"])
        for operation in others.values()
        for method in operation["method"].split(" or ")
        if operation["id"] not in ELSEWHERE
    }

    assert documented == refused
    assert len(refused) == len(NOT_OFFERED)


def _answer(page, name):
    """The schema of the data in the answer of an operation, and of its envelope."""
    method, path = OPERATIONS[name]
    content = page["paths"][path][method]["responses"]["200"]["content"]
    return page["components"]["schemas"][
        content["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
    ]


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_answer_is_that_of_the_contract(page, operations, name):
    response = operations[name]["response"]
    schema = _answer(page, name)
    data = response["data"]
    if response["envelope"] == "none":
        assert schema["title"] == data
        return
    assert ("pagination" in schema["properties"]) == (response["envelope"] == "JSendPaginated")
    schema = schema["properties"]["data"]
    if data == "DeviceSpecsMap":
        assert schema["additionalProperties"] == {"type": "string"}
        return
    if isinstance(data, dict):
        (kind, data) = next(iter(data.items()))
        schema = schema["items" if kind == "array_of" else "additionalProperties"]
    assert schema["$ref"].rsplit("/", 1)[-1] == data


#: Bodies that are not a list of fields in the contract.
OWN_BODIES = {"ovh_create_batch": "create_batch"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_body_is_that_of_the_contract(contract, page, operations, name):
    method, path = OPERATIONS[name]
    wanted = operations[OWN_BODIES.get(name, name)]["request_body"]
    body = page["paths"][path][method].get("requestBody")

    assert (wanted is None) == (body is None)
    if body is None:
        return
    kind = wanted["content_type"].split(",")[0].split(" ")[0]
    schema = body["content"][kind]["schema"]
    if "$ref" in schema:
        schema = page["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    assert schema["type"] == wanted["root"].replace("form", "object")
    if wanted["root"] == "array":
        items = schema["items"]
        item = items["$ref"].rsplit("/", 1)[-1] if "$ref" in items else items["type"]
        assert item == wanted["items"]
        return
    fields = {field["name"]: field for field in wanted["fields"]}
    assert schema["properties"].keys() >= {name for name, f in fields.items() if f["required"]}
    if name == "oauth_token":  # more is ignored there than the contract lists
        return
    assert schema["properties"].keys() == fields.keys()
    if name not in OWN_BODIES:
        required = {key for key, field in fields.items() if field["required"]}
        assert set(schema.get("required", ())) == required
    for key, field in fields.items():
        documented = schema["properties"][key]
        options = documented.get("anyOf", [documented])
        shapes = [option for option in options if option != {"type": "null"}]
        assert documented["description"], key
        if field["name"] == "priority":  # ignored whatever it is
            continue
        (shape,) = shapes
        assert shape["type"] == field["type"], key
        item = shape.get("items", shape)
        if field.get("allowed") in contract["enums"] and "enum" in item:
            assert set(item["enum"]) <= set(contract["enums"][field["allowed"]]["values"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_path_and_method_are_those_of_the_contract(operations, name):
    method, path = OPERATIONS[name]
    if name == "download_job_result":
        return  # the server chooses where
    assert operations[name]["method"].lower() == method
    assert path.removeprefix("/account") == operations[name]["path"]


def _expected_parameters(operations, name):
    if name == "download_job_result":  # the server chooses where
        return [{"name": "ticket", "in": "path", "multi_valued": False, "required": True}]
    if name == "list_jobs_v1":  # nothing is known; there must be a way to the next page
        return operations["list_jobs_v2"]["params"]
    return operations[name]["params"]


#: Bounds as the contract writes them, as JSON Schema does.
BOUNDS = {
    "0 < limit < 101": {"exclusiveMinimum": 0, "exclusiveMaximum": 101},
    "offset >= 0 (enforced by the SDK; server bound not published)": {"minimum": 0},
}

TYPES = {"string", "integer", "boolean", "array"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_are_those_of_the_contract(contract, page, operations, name):
    method, path = OPERATIONS[name]
    listed = page["paths"][path][method].get("parameters", [])
    documented = {(p["in"], p["name"]): p for p in listed}
    expected = {(p["in"], p["name"]): p for p in _expected_parameters(operations, name)}

    assert (documented.pop(("header", "Idempotency-Key"), None) is not None) == (name in NAMED)
    listed = list(documented.values())
    assert len(listed) == len(documented)
    assert documented.keys() == expected.keys()
    for key, parameter in documented.items():
        wanted, schema = expected[key], parameter["schema"]
        (schema,) = [s for s in schema.get("anyOf", [schema]) if s != {"type": "null"}]
        assert schema["type"] in TYPES, key
        assert (schema["type"] == "array") == wanted["multi_valued"]
        assert parameter["description"]
        assert parameter["required"] == wanted["required"]
        assert parameter.get("deprecated", False) == wanted.get("deprecated", False)
        if "default" in wanted:
            assert parameter["schema"]["default"] == wanted["default"]
        item = schema.get("items", schema)
        if "type" in wanted:
            assert item["type"] == wanted["type"], key
            assert item.get("format") == wanted.get("format"), key
        assert BOUNDS.get(wanted.get("bounds"), {}).items() <= schema.items(), key
        # Devices may be added, and a project state that is not known finds nothing.
        if wanted.get("allowed") not in (None, "DeviceTypeName", "ProjectStatus"):
            assert item["enum"] == contract["enums"][wanted["allowed"]]["values"], key


@pytest.mark.parametrize("name", OPERATIONS)
def test_whether_a_token_is_needed_is_that_of_the_contract(page, operations, name):
    method, path = OPERATIONS[name]
    needs_token = "security" in page["paths"][path][method]

    assert needs_token == operations[name]["auth"].startswith("yes")


def test_every_operation_has_words_and_documented_answers(page):
    for path, item in page["paths"].items():
        for operation in item.values():
            assert operation["summary"], path
            assert operation["description"], path
            content = operation["responses"]["200"]["content"]
            if path.endswith("/events"):
                assert content.keys() == {"text/event-stream"}
            else:
                assert "$ref" in content["application/json"]["schema"], path
            for status, answer in operation["responses"].items():
                assert answer["description"], (path, status)


def test_every_operation_has_an_identifier_of_its_own(page):
    identifiers = [op["operationId"] for item in page["paths"].values() for op in item.values()]

    assert len(identifiers) == len(set(identifiers))


def test_every_field_has_words(page):
    without = {
        (name, key)
        for name, schema in page["components"]["schemas"].items()
        for key, field in schema.get("properties", {}).items()
        if "description" not in field
    }

    # No form of errors but ours; in it and in the envelope the keys say what they are.
    assert "HTTPValidationError" not in page["components"]["schemas"]
    assert {key for _, key in without} <= {"status", "message", "data", "pagination", "description"}


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
        "BatchWithoutJobs",
        "BatchBulkCancelResponse",
        "JobBulkCancelResponse",
        "BatchResultsLinks",
        "ProjectLastActivity",
        "LegacyBatchWithResults",
        "Device",
        "BatchQueueItem",
        "AuthInfo",
        "LegacyJobWithResults",
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
        if key in required:
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
