"""A real PostgreSQL of our own: a new cluster in a temporary folder, behind a Unix socket, as an unprivileged user."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

NOT_HERE = "no PostgreSQL server is installed (no initdb in PATH or /usr/lib/postgresql/*/bin); install the package `postgresql`"


def programs() -> Path | None:
    """The folder that holds ``initdb`` and ``pg_ctl``, None where no server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += [Path(name).parent for name in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)]
    return next((folder for folder in folders if (folder / "pg_ctl").exists() and (folder / "postgres").exists()), None)


class Server:
    """One cluster that can be stopped and started again; ``close`` removes it.

    Nobody but this machine's users reaches it: it listens on a Unix socket in its own folder only.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        found = programs()
        if found is None:
            raise RuntimeError(NOT_HERE)
        self._programs = found
        # not below pytest's folder: that is root's alone, and the server must not run as root
        self.folder = Path(tempfile.mkdtemp(prefix="shoplm-pg-", dir="/tmp"))
        self._user: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        self._data = self.folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        durable = "on" if fsync else "off"
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nfsync = {durable}\n"
                f"synchronous_commit = {durable}\nfull_page_writes = {durable}\nshared_buffers = 16MB\nmax_connections = 60\n"
            )
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy address of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self.folder / "log"), "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` leaves it as a power cut would, to be recovered at the next start."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", "60", "-m", mode, "stop")

    def create(self, database: str) -> str:
        """A new empty database; returns its address."""
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", database)
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected."""
        self._run("dropdb", "-h", str(self.folder), "-U", "postgres", "--force", "--if-exists", database)

    def close(self) -> None:
        """Stop it and remove its folder."""
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:  # a pipe would be held open by the server
            command = [*self._user, str(self._programs / program), *arguments]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", check=False, timeout=120)
            said.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} ended with {done.returncode}: {' '.join(said.read().split())[-400:]}")
