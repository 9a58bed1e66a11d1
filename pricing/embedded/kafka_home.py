"""Fetches Apache Kafka through Maven, once, and keeps it ready to start in a cache.

    <cache>/kafka-4.3.1/
        libs/          46 jars
        template/      a formatted, empty data directory; copied for every new broker
        <key>.jsa      class archive of one Java and these jars; empty where Java cannot make one
        lock           held by whoever fills the directory

Everything appears by rename, so what is there is whole, and two processes may begin at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pricing.embedded.copying import open_to_others
from pricing.embedded.directories import default_cache_dir, disk_reason, make_directory
from pricing.embedded.process import Program, lock_within, spawn
from pricing.errors import StartupError

KAFKA_VERSION = "4.3.1"
_POM = Path(__file__).with_name("apache-kafka.pom.xml")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy-dependencies"
_MAVEN_WITHIN_S = 300.0
_JAVA_WITHIN_S = 60.0
_LOCK_WITHIN_S = 400.0
_LIMITS = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaHome:
    """A Kafka that is ready to start. Made by `kafka_home`."""

    java: Path
    libs: Path
    template: Path
    archive_flags: tuple[str, ...] = ()
    """What makes Java read or write a class archive; a matter of speed alone."""

    @property
    def classpath(self) -> str:
        """The jars in a fixed order: a class archive fits one order only."""
        return ":".join(map(str, sorted(self.libs.glob("*.jar"))))

    @property
    def archive(self) -> Path:
        """Where the class archive that fits this Java and these jars is kept."""
        release = self.java.resolve().parent.parent / "release"
        version = release.read_text() if release.exists() else str(self.java.resolve())
        jars = sorted(jar.name for jar in self.libs.iterdir())
        key = hashlib.sha256("\n".join([version, *jars]).encode()).hexdigest()
        return self.libs.parent / f"{key[:16]}.jsa"

    def command(self, main: str, *arguments: str | Path, flags: tuple[str, ...] = ()) -> list[str]:
        """The words that run a main class."""
        java = (self.java, *_LIMITS, *self.archive_flags, *flags, "-cp", self.classpath)
        return list(map(str, (*java, main, *arguments)))


def missing_tools() -> list[str]:
    """Which of `java` and `mvn` are not on the PATH."""
    return [tool for tool in ("java", "mvn") if shutil.which(tool) is None]


async def kafka_home(
    cache: Path | None = None, *, on_progress: Progress = lambda _: None
) -> KafkaHome:
    """Everything but the class archive, fetched and made where it is not there yet.

    Takes some 6 s the first time (45 MB), nothing after. `cache` defaults to the user's.
    Raises `StartupError` that says what to install, or what Maven or Java said.
    """
    java = _tool("java")
    place = make_directory((cache or default_cache_dir()) / f"kafka-{KAFKA_VERSION}")
    libs, template = place / "libs", place / "template"
    if not (libs.exists() and template.exists()):
        async with filling(place):
            # Again under the lock: another process may have filled it while this one waited.
            if not libs.exists():
                on_progress(f"fetching Apache Kafka {KAFKA_VERSION} with Maven (45 MB)")
                await _fetch(libs)
            if not template.exists():
                await _format(java, libs, template)
    return KafkaHome(java=java, libs=libs, template=template)


@asynccontextmanager
async def filling(place: Path) -> AsyncIterator[None]:
    """Hold the cache directory against other processes.

    Raises `StartupError` when another one holds it for more than some minutes.
    """
    path = place / "lock"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"cannot open {path}: {disk_reason(error)}") from error
    try:
        if not await lock_within(file, _LOCK_WITHIN_S):
            raise StartupError(f"another process still fills {place}: end it and start again")
        yield
    finally:
        os.close(file)


def _tool(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise StartupError(
            f"Apache Kafka needs {name}, which is not installed: install Java 17 or newer and "
            "Maven (Debian, Ubuntu: apt install default-jdk-headless maven), or use --kafka tansu"
        )
    return Path(found)


async def _fetch(libs: Path) -> None:
    maven = _tool("mvn")
    fresh = _fresh(libs)
    copy = (_COPY, f"-DoutputDirectory={fresh}", "-DincludeScope=runtime", "-Dmdep.silent=true")
    await run(
        Program(
            name="Maven",
            argv=(str(maven), "-B", "-q", "-Dstyle.color=never", "-f", str(_POM), *copy),
            directory=libs.parent,
            environment=dict(os.environ),  # proxies, mirrors and JAVA_HOME are the user's
        ),
        within_s=_MAVEN_WITHIN_S,
        advice="is the package repository reachable?",
    )
    open_to_others(fresh)
    fresh.rename(libs)


async def _format(java: Path, libs: Path, template: Path) -> None:
    """One Java start of 0.6 s that every later broker is spared by copying its result."""
    fresh = _fresh(template)
    settings = template.with_name("format.properties")
    settings.write_text(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n"
        "controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:2,"
        f"CONTROLLER://127.0.0.1:1\nlog.dirs={escaped(fresh)}\n"
    )
    home = KafkaHome(java=java, libs=libs, template=template)
    identity = ("format", "-t", "RXF1aWxpYnJpdW1TdGF0ZQ", "-c", settings)
    await run(
        Program(
            name="Java",
            argv=tuple(home.command("kafka.tools.StorageTool", *identity)),
            directory=template.parent,
        ),
        within_s=_JAVA_WITHIN_S,
        advice="Apache Kafka 4 needs Java 17 or newer",
    )
    open_to_others(fresh)
    fresh.rename(template)


def escaped(value: object) -> str:
    """A value as Java's properties files want it: ASCII, with JSON's escapes."""
    return json.dumps(str(value))[1:-1]


def _fresh(place: Path) -> Path:
    """A place beside `place` to build in, without what a crashed build left."""
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    return fresh


async def run(program: Program, *, within_s: float, advice: str) -> None:
    """Run a program to its end. Raises `StartupError` when it fails or takes too long."""
    process = await spawn(program)
    try:
        ended = await process.wait(within_s)
    finally:
        await process.kill()
    if ended and process.exit_code == 0:
        return
    said = process.last_words() if ended else f"not done within {within_s:g} s"
    raise StartupError(f"{program.name} failed: {said} ({advice} log: {program.log})")
