# SPDX-License-Identifier: MIT
# Types of the public names, for editors and mypy; no device ever sees this file.
from typing import TypeVar

from ota.errors import ClockError as ClockError
from ota.errors import ExpiredError as ExpiredError
from ota.errors import FetchError as FetchError
from ota.errors import ImageError as ImageError
from ota.errors import OtaError as OtaError
from ota.errors import SlotError as SlotError
from ota.errors import StateError as StateError
from ota.errors import StoreError as StoreError
from ota.errors import TrustError as TrustError
from ota.updater import DECLINED as DECLINED
from ota.updater import DOWNLOADING as DOWNLOADING
from ota.updater import NOT_OFFERED as NOT_OFFERED
from ota.updater import READY as READY
from ota.updater import TROUBLE as TROUBLE
from ota.updater import UP_TO_DATE as UP_TO_DATE
from ota.updater import Event as _Event
from ota.updater import Updater as Updater
from ota.updater import _Consent, _Healthy, _Progress, _ShouldContinue, _Status

_T = TypeVar("_T")

__version__: str

def const(value: _T) -> _T: ...
def guard(folder: str = "/ota-state") -> None: ...
def run(folder: str = "/ota-state") -> None: ...
def settle(healthy: _Healthy, within_s: float = 120, folder: str = "/ota-state") -> bool: ...
def update(
    progress: _Progress | None = None,
    consent: _Consent | None = None,
    should_continue: _ShouldContinue | None = None,
    folder: str = "/ota-state",
) -> _Event: ...
def status(folder: str = "/ota-state") -> _Status: ...
