"""Alerts are about metrics that exist, with labels that they have."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from deployments import DEPLOY, ROOT

#: Sets the names of labels that every sample has, from Prometheus itself.
FROM_PROMETHEUS = {"job", "instance", "pod", "le"}

#: Metrics of the library and of Prometheus.
FOREIGN = {"up": set(), "process_open_fds": set(), "process_max_fds": set()}

#: What a metric of a kind is called in a query.
ENDINGS = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_count", "_sum")}


def metrics() -> dict[str, set[str]]:
    """Returns the labels of every metric, by the names that queries use."""
    made = re.compile(
        r'\b(Counter|Gauge|Histogram)\(\s*"(tweezer_\w+)",\s*(?:"[^"]*"\s*)+,?\s*(\[[^\]]*\])?'
    )
    found: dict[str, set[str]] = dict(FOREIGN)
    for folder in ("services", "gateway"):
        for file in (ROOT / folder).rglob("*.py"):
            for kind, name, labels in made.findall(file.read_text()):
                for ending in ENDINGS[kind]:
                    found[name + ending] = set(re.findall(r'"(\w+)"', labels))
    return found


METRICS = metrics()


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Returns each place where an expression reads a metric."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield expression.vector_selector
    for part in ("expr", "lhs", "rhs", "param"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from selectors(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from selectors(argument)


def alerts(file: Path = DEPLOY / "prometheus" / "rules.yaml") -> dict[str, str]:
    groups = yaml.safe_load(file.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def check(expression: str) -> int:
    """Raises AssertionError unless all metrics exist; returns how many there are."""
    read = list(selectors(promql_parser.parse(expression)))
    for selector in read:
        assert selector.name in METRICS
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= METRICS[selector.name] | FROM_PROMETHEUS
    return len(read)


@pytest.mark.parametrize("name", alerts())
def test_an_alert_reads_metrics_that_exist(name: str) -> None:
    expression = alerts()[name]
    assert check(expression) == len(re.findall(r"\b(?:tweezer_|process_|up\b)", expression))


@pytest.mark.parametrize(
    "wrong",
    [
        "rate(tweezer_http_requests[5m]) > 0",
        'tweezer_job_leases_held{device="EMU_FREE"} > 0',
        "max(tweezer_queue_jobs) > 0 unless on () sum(rate(tweezer_queue_sprouts[5m])) > 0",
    ],
)
def test_others_are_noticed(wrong: str) -> None:
    with pytest.raises(AssertionError):
        check(wrong)


def test_the_page_names_metrics_that_exist() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    for name in re.findall(r"`((?:job|batch|execution|queue|grpc|http|webhook)_[a-z_]+)", page):
        assert f"tweezer_{name}" in METRICS or f"tweezer_{name}_bucket" in METRICS, name
