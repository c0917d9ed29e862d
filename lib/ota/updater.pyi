# SPDX-License-Identifier: MIT
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypedDict

from ota.offer import Offer
from ota.ports import Fetcher, Store
from ota.watch import Watch

UP_TO_DATE: Literal["up to date"]
READY: Literal["ready"]
DECLINED: Literal["declined"]
NOT_OFFERED: Literal["not offered"]
DOWNLOADING: Literal["downloading"]
TROUBLE: Literal["trouble"]

_Healthy: TypeAlias = Callable[[], bool | Awaitable[bool | None] | None]
_Consent: TypeAlias = Callable[[Offer], bool | Awaitable[bool]]
_Progress: TypeAlias = Callable[[int, int], object]
_ShouldContinue: TypeAlias = Callable[[], bool]
_Log: TypeAlias = Callable[..., object]

class _Last(TypedDict):
    outcome: str
    version: str
    why: str

class _Product(TypedDict):
    product: str
    kind: str
    version: str
    seq: int
    identity: str | None
    on_trial: bool
    switch_pending: bool
    minseq: int
    last: _Last | None

class _Status(_Product):
    boot_keys: int | None
    utc: str
    verifier: str
    urls: list[str]
    loaded_from: str
    shadowed: str | None
    app: _Product | None

class Event:
    kind: str
    reason: tuple[Any, ...]
    offer: Offer | None
    product: str | None
    done: int
    total: int
    error: Exception | None
    def __init__(
        self,
        kind: str,
        reason: tuple[Any, ...] = (),
        offer: Offer | None = None,
        done: int = 0,
        total: int = 0,
        error: Exception | None = None,
        product: str | None = None,
    ) -> None: ...
    @property
    def ready(self) -> bool: ...

class Updater:
    def __init__(
        self,
        products: list[Any],
        fetcher: Fetcher,
        store: Store,
        trust: Any,
        clock: Any,
        log: _Log | None = None,
        servers: Any = None,
        about: Any = (),
    ) -> None: ...
    @classmethod
    def from_config(
        cls, path: str = "/ota-state", log: _Log | None = None, fetcher: Fetcher | None = None
    ) -> Updater: ...
    async def settle(self, healthy: _Healthy, within_s: float = 120) -> bool: ...
    async def update(
        self,
        progress: _Progress | None = None,
        consent: _Consent | None = None,
        should_continue: _ShouldContinue | None = None,
    ) -> Event: ...
    def watch(
        self,
        every_s: float = 21600,
        consent: _Consent | None = None,
        should_continue: _ShouldContinue | None = None,
    ) -> Watch: ...
    def status(self) -> _Status: ...
