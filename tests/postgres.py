"""A private PostgreSQL server for the tests, in a folder of its own, gone afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "s3cret-Passw0rd"


def binaries() -> Path | None:
    """The folder that holds initdb and pg_ctl; None where no server is installed."""
    found = shutil.which("pg_ctl")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) + ([Path(found).parent] if found else [])
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server and give its URL (`postgresql://user:password@127.0.0.1:port/postgres`).

    Raises
    ------
    FileNotFoundError : no server is installed, or this is root and there is no user postgres to run it
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("no PostgreSQL server binaries (initdb, pg_ctl)")
    folder = Path(tempfile.mkdtemp(prefix="insar_anomaly_pg_"))
    try:
        folder.chmod(0o755)
        (folder / "password").write_text(PASSWORD)
        as_user = _not_root(folder)
        data, port = folder / "data", _free_port()
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        start = ("-o", settings, "-l", str(folder / "log"), "-w", "start")
        _run(*as_user, programs / "initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", f"--pwfile={folder}/password")
        _run(*as_user, programs / "pg_ctl", "-D", data, *start)
        try:
            yield f"postgresql://tester:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            _run(*as_user, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _not_root(folder: Path) -> tuple[str, ...]:
    """initdb refuses root: what to write before a command so that it runs as the user postgres."""
    if os.geteuid() != 0:
        return ()
    runuser = shutil.which("runuser")
    try:
        shutil.chown(folder, "postgres", "postgres")
    except LookupError:
        runuser = None
    if runuser is None:
        raise FileNotFoundError("root cannot run PostgreSQL, and there is no user postgres (or no runuser)")
    return runuser, "-u", "postgres", "--"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: str | Path) -> None:
    # to a file, not a pipe: the server inherits it and would keep a pipe open for ever
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(command, stdout=output, stderr=output, cwd="/", check=False)
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{command}: {output.read().decode(errors='replace')}")
