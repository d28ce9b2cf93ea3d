"""The manifests fit together, and the processes fit into them."""

from typing import Any

import pytest
from deployments import manifests, objects, of_kubernetes, pods, secrets

from tweezer.gateway.settings import GatewaySettings
from tweezer.rpc.settings import RpcSettings

PODS = dict(pods())
DEPLOYMENTS = {each["metadata"]["name"]: each for each in objects("Deployment")}
STARTED = {each.origin.split()[1]: each for each in of_kubernetes()}


def ports(pod: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in pod["containers"][0].get("ports", [])}


def test_the_kustomization_names_every_file_but_the_example() -> None:
    (kustomization,) = objects("Kustomization")
    others = manifests().keys() - {"kustomization.yaml", "secrets.example.yaml"}
    assert sorted(kustomization["resources"]) == sorted(others)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_a_pod_can_do_nothing_to_its_node(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_no_service_sets_a_setting(pod: dict[str, Any]) -> None:
    # Kubernetes would set TWEEZER_GATEWAY_PORT=tcp://ADDRESS:8000 for a service of that name.
    assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_ports_are_those_it_listens_on(name: str) -> None:
    started, declared = STARTED[name], ports(PODS[name])
    process = name.removeprefix("tweezer-").upper()
    own = {}
    for port, variable in (("grpc", f"{process}_LISTEN"), ("metrics", f"{process}_METRICS_LISTEN")):
        if f"TWEEZER_{variable}" in started.environment:
            host, _, number = started.environment[f"TWEEZER_{variable}"].rpartition(":")
            assert host == "0.0.0.0"
            own[port] = int(number)
    if process == "GATEWAY":
        assert started.environment["TWEEZER_GATEWAY_HOST"] == "0.0.0.0"
        own["http"] = GatewaySettings.model_fields["gateway_port"].default
    assert declared == own


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_probes_ask_a_port_that_is_there(name: str) -> None:
    (container,) = PODS[name]["containers"]
    declared = ports(PODS[name])
    for kind in ("readinessProbe", "startupProbe", "livenessProbe"):
        probe = container[kind]
        (asked,) = [probe[means] for means in ("grpc", "tcpSocket", "httpGet") if means in probe]
        assert asked["port"] in declared or asked["port"] in declared.values()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_given_the_time_to_stop(name: str) -> None:
    (container,) = PODS[name]["containers"]
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    field = (
        GatewaySettings.model_fields["gateway_shutdown_grace"]
        if name == "tweezer-gateway"
        else RpcSettings.model_fields["stop_grace_s"]
    )
    assert PODS[name]["terminationGracePeriodSeconds"] >= before + 1.5 * field.default


def test_services_lead_to_the_pods() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in objects("Service")}
    for name, service in services.items():
        labels = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        (port,) = service["ports"]
        assert ports(PODS[name])[port["targetPort"]] == port["port"]
    for process in ("batch", "job"):
        address = STARTED["tweezer-gateway"].environment[f"TWEEZER_{process.upper()}_ADDRESS"]
        port = services[f"tweezer-{process}"]["ports"][0]["port"]
        assert address == f"dns:///tweezer-{process}:{port}"
        # One address for all replicas would have each caller stay with one of them.
        assert services[f"tweezer-{process}"]["clusterIP"] == "None"


def test_policies_let_callers_in_and_nobody_else() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in objects("NetworkPolicy")}
    assert policies.keys() == PODS.keys()
    for name, policy in policies.items():
        labels = policy["podSelector"]["matchLabels"]
        template = PODS[name], labels
        assert f"tweezer-{labels['app.kubernetes.io/component']}" == name, template
        allowed = {each["port"] for rule in policy["ingress"] for each in rule["ports"]}
        assert allowed <= set(ports(PODS[name]).values())
        outward = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        assert outward <= {53, 443, 5432, 8001, 8002}


def test_every_mounted_key_is_read_by_a_setting_and_every_volume_is_used() -> None:
    for name, pod in PODS.items():
        (container,) = pod["containers"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in pod["volumes"]}
        for volume in pod["volumes"]:
            if volume["name"] == "keys":
                given = set(STARTED[name].environment.values())
                for item in volume["secret"]["items"]:
                    assert f"/etc/tweezer/keys/{item['path']}" in given


def test_the_example_has_the_secrets_that_are_used() -> None:
    used = {
        (source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
        for pod in PODS.values()
        for variable in pod["containers"][0].get("env", [])
        if "secretKeyRef" in (source := variable.get("valueFrom", {}))
    }
    assert used == secrets().keys()
