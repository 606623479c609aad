"""What schemathesis makes of the OpenAPI document: requests that fit it and requests that do not; none may fail us."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.attack.conftest import Count
from tests.serving import Served

MAX_EXAMPLES = 25  # of each kind for each route
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_generated_request_fails_the_server(served: Served, tmp_path: Path, count: Count) -> None:
    """Server errors, undeclared statuses, and answers that do not fit their own description are failures."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.base}/api/openapi.json"),
            *("--checks", CHECKS, "-n", str(MAX_EXAMPLES), "-m", "all", "--seed", "1"),
            *("--request-timeout", "60", "--phases", "examples,coverage,fuzzing", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout[-10_000:] + run.stderr[-2000:]
    found = re.search(r"([\d,]+) generated", run.stdout)
    assert found, run.stdout[-3000:]
    assert served.get("/api/videos").status == 200
    assert served.interrupt()[0] == 0
    assert served.process.stderr is not None
    assert served.process.stderr.read() == ""
    count("generated requests", int(found.group(1).replace(",", "")))
