"""Everything that speaks SQL: reaching a database, its schema, and reading and writing its rows."""

from __future__ import annotations

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]
"""A connection that commits every statement by itself; its rows are tuples."""
