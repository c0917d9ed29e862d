# SPDX-License-Identifier: MIT
from collections.abc import Awaitable, Callable, Iterable

from ota.ports import Body

class Http:
    needs_clock: bool
    def __init__(
        self,
        urls: Iterable[str],
        ca: bytes | None = None,
        headers: Iterable[tuple[str, str]] = (),
        timeout_s: float = 20,
        tries: int = 4,
        sleep: Callable[[float], Awaitable[object]] = ...,
        rand: Callable[[int], bytes] = ...,
    ) -> None: ...
    def add(
        self,
        urls: Iterable[str],
        ca: bytes | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None: ...
    async def open(self, path: str, start: int = 0, end: int | None = None) -> Body: ...
    def skip(self) -> bool: ...
    async def close(self) -> None: ...
