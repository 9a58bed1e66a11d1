"""The servers and the service's own processes, up inside a block and gone after it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from pricing.access.keys import KeyFile
from pricing.access.role import Role
from pricing.embedded import EmbeddedStack, StackConfig, Tansu
from pricing.embedded.directories import write_private
from pricing.embedded.ports import LOOPBACK
from pricing.errors import StartupError
from pricing.local.children import Child, Command, Say, child_environment
from pricing.local.options import DemoOptions
from pricing.logs import configure_logs
from pricing.wiring.settings import PREFIX, Settings, load_settings

SETTINGS_FILE: Final = "settings.env"
"""What the children run with, for whoever wants to join in from another terminal."""

KEYS_FILE: Final = "keys.json"
_KEY_LASTS_S: Final = 86_400
_MIGRATE_WITHIN_S: Final = 60.0
_HEALTHY_WITHIN_S: Final = 30.0
_ASK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The service's own processes."""

    migrate: Command
    api: Command
    processor: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeService:
    """What runs."""

    stack: EmbeddedStack
    api: Child
    processor: Child
    settings: Settings
    """As the children have them."""


def own_commands() -> Commands:
    """`python -m pricing COMMAND`, with the interpreter that runs us."""
    return Commands(migrate=_own("migrate"), api=_own("api"), processor=_own("processor"))


@asynccontextmanager
async def open_whole_service(
    options: DemoOptions, commands: Commands, *, say: Say, monotonic: Callable[[], float]
) -> AsyncIterator[WholeService]:
    """Start the servers, then migrate, then start the API and the processor.

    Whether these two answer is for the caller to see. Our own logs go to a file meanwhile.

    Raises:
        StartupError: a server, a migration or a process does not start; nothing is left then.
    """
    config = StackConfig(data_dir=options.data_dir, kafka=options.broker)
    async with EmbeddedStack(config, on_progress=say) as stack:
        if isinstance(stack.kafka, Tansu):
            say("events are kept in memory only: they are gone when this ends")
        environment = _environment(stack, options.port)
        write_private(
            stack.data_dir / SETTINGS_FILE,
            "".join(f"{name}={value}\n" for name, value in environment.items()),
            for_server=False,
        )

        def child(command: Command) -> Child:
            state_dir = str(stack.data_dir / command.name / "state")
            own = child_environment({**environment, f"{PREFIX}STATE_DIR": state_dir})
            return Child(command, stack.data_dir, own, monotonic=monotonic)

        # Not before the stack: a start that fails is told on the terminal.
        with _logging_to(stack.data_dir / "demo.log"):
            await child(commands.migrate).finish(_MIGRATE_WITHIN_S)
            say("the database and the topics are ready")
            api, processor = child(commands.api), child(commands.processor)
            settings = _settings_of(environment)
            try:
                # The processor first: it joins its group for seconds.
                await processor.start()
                await api.start()
                yield WholeService(stack=stack, api=api, processor=processor, settings=settings)
            finally:
                await asyncio.gather(api.stop(), processor.stop())


async def healthy(client: httpx2.AsyncClient, api: Child) -> None:
    """Wait until the API answers. Raises `StartupError` when it ends, or takes over 30 s."""
    try:
        async with asyncio.timeout(_HEALTHY_WITHIN_S):
            while True:
                api.check()
                try:
                    response = await client.get("/health/live")
                    if response.is_success:
                        return
                except httpx2.TransportError:
                    pass  # it does not listen yet
                await asyncio.sleep(_ASK_EVERY_S)
    except TimeoutError:
        raise StartupError(
            f"the api has not answered within {_HEALTHY_WITHIN_S:g} s (log: {api.log})"
        ) from None


def operator_key(service: WholeService, *, now_s: float) -> str:
    """A fresh key of an operator, good for a day. Raises `KeysError`."""
    file = KeyFile(service.settings.keys_path)
    expires_at_s = int(now_s) + _KEY_LASTS_S
    _, text = file.create(
        name="demo", role=Role.OPERATOR, now_s=int(now_s), expires_at_s=expires_at_s
    )
    return text


def _own(name: str) -> Command:
    return Command(name=name, argv=(sys.executable, "-m", "pricing", name))


def _environment(stack: EmbeddedStack, port: int) -> dict[str, str]:
    return {
        **stack.environment(),
        f"{PREFIX}HTTP_HOST": LOOPBACK,
        f"{PREFIX}HTTP_PORT": str(port),
        f"{PREFIX}AUTH": "open",
        f"{PREFIX}KEYS_FILE": str(stack.data_dir / KEYS_FILE),
        # A name of its own, so that a processor that is started again need not wait.
        f"{PREFIX}PROCESSOR_INSTANCE": "demo",
    }


def _settings_of(environment: dict[str, str]) -> Settings:
    return load_settings(
        **{name.removeprefix(PREFIX).lower(): value for name, value in environment.items()}
    )


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send our own logs to a file: on the terminal they would run through the table."""
    configure_logs("WARNING", "console")
    with path.open("a", encoding="utf-8") as file, ExitStack() as undo:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                before = handler.setStream(file)
                undo.callback(handler.setStream, before)
        yield
