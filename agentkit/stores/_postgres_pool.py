"""A few connections that threads share."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from agentkit.stores._postgres_format import prepare

MOST = 8
"""Connections at a time; who comes later waits."""


class Pool:
    """Opens connections when they are needed and keeps those that work.

    Raises:
        psycopg.ProgrammingError: the address cannot be read.
    """

    def __init__(self, url: str, schema: str) -> None:
        parts = conninfo_to_dict(url)
        host = parts.get("host") or parts.get("hostaddr") or ""
        port = f":{parts['port']}" if parts.get("port") else ""
        self.where = f"postgresql://{host}{port}/{parts.get('dbname', '')} ({schema})"
        self.channel = f"{schema}_events"
        self.was_open = False
        """Whether the server has ever answered."""
        self._url = url
        self._schema = schema
        self._free = threading.BoundedSemaphore(MOST)
        self._idle: list[Connection[Any]] = []

    @contextmanager
    def connection(self) -> Generator[Connection[Any]]:
        """A connection for this thread, in autocommit mode; thrown away if it broke."""
        with self._free:
            db = self._idle.pop() if self._idle else self.open()
            try:
                yield db
            finally:
                if db.broken or db.closed:
                    db.close()
                else:
                    self._idle.append(db)

    def open(self) -> Connection[Any]:
        """A new connection, the caller's own."""
        name = f"agentkit {self._schema}"
        db = psycopg.connect(self._url, autocommit=True, connect_timeout=10, application_name=name)
        try:
            prepare(db, self._schema, self.where)
        except BaseException:
            db.close()
            raise
        self.was_open = True
        return db

    def close(self) -> None:
        """Close the connections that nobody uses; where one broke, the others did too."""
        while self._idle:
            self._idle.pop().close()
