# SPDX-License-Identifier: MIT
from typing import Any

from ota.updater import Event, _Consent, _ShouldContinue

class Watch:
    def __init__(
        self,
        update: Any,
        every_s: float,
        consent: _Consent | None,
        should_continue: _ShouldContinue | None,
    ) -> None: ...
    def __aiter__(self) -> Watch: ...
    async def __anext__(self) -> Event: ...
    def close(self) -> None: ...
