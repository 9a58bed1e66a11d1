"""`equilibrium demo`: from options to an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from pricing.demo.screen import open_screen
from pricing.embedded.ports import LOOPBACK, is_free
from pricing.errors import StartupError
from pricing.local.options import DemoOptions


def run_demo(options: DemoOptions) -> int:
    """Run the demo until its time is over, Ctrl-C or SIGTERM; returns 0 then.

    Call it from the main thread.

    Raises:
        PricingError: the demo cannot start or go on; one line that says why.
        SettingsError: a setting in the environment is wrong.
    """
    if not is_free(options.port):
        raise StartupError(
            f"port {options.port} on {LOOPBACK} is in use: end that program or choose another port"
        )
    return asyncio.run(_until_told(options))


async def _until_told(options: DemoOptions) -> int:
    try:
        from pricing.demo.run import Demo
    except ModuleNotFoundError as error:
        raise StartupError(
            f"the demo needs the package {error.name}: install equilibrium[embedded]"
        ) from error
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        with open_screen(sys.stdout) as screen:
            await Demo(options, screen).run(stop)
    except BrokenPipeError:
        # Whoever read us has gone; the interpreter would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
