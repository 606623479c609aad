"""The compose file, parsed: no Docker engine is needed to see what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    return parsed


def test_the_database_is_for_this_machine_alone_and_keeps_its_data(compose: dict[str, Any]) -> None:
    database = compose["services"]["db"]
    assert database["image"] == "pgvector/pgvector:pg18"
    assert all(port.startswith("127.0.0.1:") for port in database["ports"])
    assert database["volumes"] == ["data:/var/lib/postgresql"]
    assert "data" in compose["volumes"]
    assert database["healthcheck"]["test"][1:3] == ["pg_isready", "--host=127.0.0.1"]
    assert "VSDB_PASSWORD:?" in database["environment"]["POSTGRES_PASSWORD"]  # no default password


def test_gpu_ingest_waits_for_the_database_and_is_asked_for(compose: dict[str, Any]) -> None:
    ingest = compose["services"]["ingest"]
    assert ingest["profiles"] == ["gpu"]
    assert ingest["depends_on"]["db"]["condition"] == "service_healthy"
    (device,) = ingest["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert ingest["volumes"][0].endswith(":/videos:ro")
    assert "@db:5432/vsdb" in ingest["environment"]["VSDB_DSN"]
