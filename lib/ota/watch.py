# SPDX-License-Identifier: MIT
"""`Updater.watch`: an update loop as an asynchronous iterator.

MicroPython has no asynchronous generators, so the loop is a task of its own that hands one event
over and waits until the next one is asked for: who stops asking has stopped the update. Who is
cancelled while asking, or calls `close`, ends it: connection and files are closed.
"""

import asyncio

from ota.errors import OtaError
from ota.updater import TROUBLE, Event

_RETRY_S = 60  # first pause after trouble; doubles up to the caller's period


class Watch:
    def __init__(self, update, every_s, consent, should_continue):
        self._update = update
        self._every_s = every_s
        self._consent = consent
        self._should_continue = should_continue
        self._asked = asyncio.Event()
        self._given = asyncio.Event()
        self._event = None
        self._error = None
        self._task = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self._task is None:
            self._task = asyncio.create_task(self._loop())
        self._asked.set()
        try:
            await self._given.wait()
        except asyncio.CancelledError:
            self.close()
            raise
        self._given.clear()
        if self._error is not None:
            self._task = None
            error, self._error = self._error, None
            raise error
        return self._event

    def close(self):
        """End the loop, in the middle of an update if need be. Asking again begins anew."""
        task, self._task = self._task, None
        if task:
            task.cancel()
        self._asked.clear()
        self._given.clear()

    async def _loop(self):
        try:
            await self._turn()
            retry_s = _RETRY_S
            while True:
                try:
                    event = await self._update(self._give, self._consent, self._should_continue)
                    retry_s = _RETRY_S
                    pause_s = self._every_s
                except (OtaError, MemoryError) as error:
                    # A heap that is too full now must not end the updates, nor the application.
                    event = Event(TROUBLE, error.args, error=error)
                    pause_s = min(retry_s, self._every_s)
                    retry_s = min(retry_s * 2, self._every_s)
                await self._give(event)
                await asyncio.sleep(pause_s)
        except Exception as error:  # noqa: BLE001
            # A programming error belongs to whoever waits for the next event, not to the task.
            self._error = error
            self._given.set()

    async def _give(self, event):
        self._event = event
        self._given.set()
        await self._turn()

    async def _turn(self):
        await self._asked.wait()
        self._asked.clear()
