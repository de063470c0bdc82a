"""What tests share: tiny installations at three stages, an S3 server on loopback, one torch thread."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

# before anything imports them: no telemetry, one thread per library on a machine of two cores
os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "OMP_NUM_THREADS": "1"}

import installation
import pytest
import sqlalchemy as sa
from installation import Installation
from postgres import binaries, postgres_server

from insar_anomaly import pipeline


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Archive, catalogue and configuration. Shared: read it, copy it, never change it."""
    return installation.build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def with_stacks(built: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The same after an ingest. Shared: read it, copy it, never change it."""
    copy = installation.copy(built, tmp_path_factory.mktemp("with_stacks"))
    assert copy.ingest().failures == []
    return copy


@pytest.fixture(scope="session")
def with_models(with_stacks: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The same after a fit. Shared: read it, copy it, never change it."""
    copy = installation.copy(with_stacks, tmp_path_factory.mktemp("with_models"))
    assert copy.fit().failures == []
    return copy


@pytest.fixture(scope="session")
def learned(built: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Fitted, with a detector that is fast, on the first part of the archive; nothing later was read. Shared: copy it."""
    place = installation.copy(built, tmp_path_factory.mktemp("learned"))
    place.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    with place.opened("ingest", installation.FIT.last) as (s, run):
        pipeline.ingest(s, run, period=installation.FIT)
    assert place.fit().failures == []
    return place


@pytest.fixture
def fresh(built: Installation, tmp_path: Path) -> Installation:
    """A fresh installation of the test's own."""
    return installation.copy(built, tmp_path / "here")


@pytest.fixture
def ingested(with_stacks: Installation, tmp_path: Path) -> Installation:
    """An ingested installation of the test's own."""
    return installation.copy(with_stacks, tmp_path / "here")


@pytest.fixture
def fitted(with_models: Installation, tmp_path: Path) -> Installation:
    """A fitted installation of the test's own."""
    return installation.copy(with_models, tmp_path / "here")


@pytest.fixture(scope="session")
def with_a_flag(with_models: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A fitted installation after a night that raised one flag. Not to be changed."""
    made = installation.copy(with_models, tmp_path_factory.mktemp("flag") / "here")
    made.nightly()
    return made


@pytest.fixture
def flagged(with_a_flag: Installation, tmp_path: Path) -> Installation:
    """The same, of the test's own."""
    return installation.copy(with_a_flag, tmp_path / "here")


@dataclass(frozen=True)
class Bucket:
    """An empty bucket on the S3 server, its endpoint, and a boto3 client for what the package itself never does."""

    name: str
    endpoint: str
    client: Any

    @property
    def url(self) -> str:
        """The bucket's URL."""
        return f"s3://{self.name}"

    def upload(self, folder: Path, prefix: str) -> None:
        """Put every file of a folder below a prefix."""
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.client.upload_file(str(file), self.name, f"{prefix}/{file.relative_to(folder)}")

    def objects(self, prefix: str = "") -> list[str]:
        """Names of the objects below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A moto server; its endpoint."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as S3 clients look for them, and no proxy on the way to loopback."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def bucket(s3_server: str, s3_environment: None, request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket of the test's own."""
    import hashlib

    import boto3

    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    name = f"test-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    client.create_bucket(Bucket=name)
    return Bucket(name, s3_server, client)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A web server that keeps every POST; its URL and what came (headers, body)."""
    came: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", came
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_port() -> Callable[[], int]:
    """A loopback port on which nothing listens."""
    import socket

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A file system of 300 kB of the test's own: its folder, and a function that mounts it anew with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a small file system is not permitted here")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield folder, remount
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of a PostgreSQL server of the tests' own."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server binaries (initdb, pg_ctl) on this machine")
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/folder/ledger.db"
    server_url: str = request.getfixturevalue("server")
    name = "t" + re.sub(r"\W", "", str(tmp_path.name).lower())[:40] + str(time.monotonic_ns())
    engine = sa.create_engine(server_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
        admin.exec_driver_sql(f"CREATE DATABASE {name}")
    return server_url.removesuffix("postgres") + name
