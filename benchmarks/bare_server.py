"""The least that FastAPI can do for the same answers: nobody is proven, nothing is told, one table, one statement."""

from __future__ import annotations

import socket
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class _Run(BaseModel):
    id: str
    approved_id: str
    item_id: str
    status: str
    reason: str | None
    message: str | None
    generation: int
    created_ms: int
    created_by: str
    started_ms: int | None
    ended_ms: int | None
    correlation_id: str | None
    result: str | None


class _NewDraft(BaseModel):
    prompt: str
    context: dict[str, Any] | None = None


class _Draft(BaseModel):
    id: int
    prompt: str
    status: str


def application(database: Path) -> FastAPI:
    """Return the application over our table of runs, and a table of drafts beside it."""
    app, local = FastAPI(), threading.local()
    drafts = database.with_name("bare.db")

    def connection(path: Path) -> sqlite3.Connection:
        if not hasattr(local, path.name):
            made = sqlite3.connect(path, isolation_level=None)
            made.row_factory = sqlite3.Row
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("PRAGMA synchronous = FULL")
            setattr(local, path.name, made)
        return getattr(local, path.name)

    connection(drafts).execute("CREATE TABLE IF NOT EXISTS draft (id INTEGER PRIMARY KEY, prompt TEXT, status TEXT)")

    @app.get("/ops/runs", response_model=list[_Run])
    def runs(limit: int = 100) -> list[dict[str, Any]]:
        rows = connection(database).execute("SELECT * FROM run ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
        return [dict(row) for row in rows]

    @app.post("/ops/drafts", status_code=201)
    def create(body: _NewDraft) -> _Draft:
        made = connection(drafts).execute("INSERT INTO draft (prompt, status) VALUES (?, 'draft')", (body.prompt,))
        return _Draft(id=made.lastrowid or 0, prompt=body.prompt, status="draft")

    return app


if __name__ == "__main__":
    listening = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # so that it does not wait to send
    listening.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(application(Path(sys.argv[1])), log_config=None, access_log=False, http="h11")
    uvicorn.Server(config).run(sockets=[listening])
