"""`equilibrium demo`: from options to an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from pricing.demo.screen import open_screen
from pricing.local.options import DemoOptions
from pricing.local.preconditions import check_port, packages_of_the


def run_demo(options: DemoOptions) -> int:
    """Run the demo until its time is over, Ctrl-C or SIGTERM; returns 0 then.

    Call it from the main thread.

    Raises:
        PricingError: the demo cannot start or go on; one line that says why.
        SettingsError: a setting in the environment is wrong.
    """
    check_port(options.port)
    return asyncio.run(_until_told(options))


async def _until_told(options: DemoOptions) -> int:
    with packages_of_the("demo"):
        from pricing.demo.run import Demo
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
