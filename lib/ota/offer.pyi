# SPDX-License-Identifier: MIT
from typing import Any

BLOCK: int

class NotOffered(Exception):
    up_to_date: bool
    offer: Offer | None

class UpToDate(NotOffered):
    def __init__(self, offer: Offer | None = None) -> None: ...

class Offer:
    product: str
    kind: str
    image: Any
    blocks: str
    digest_size: int
    version: str
    seq: int
    minseq: int
    identity: str
    twin: str | None
    needs: tuple[str, int, int | None] | None
    attempt: int
    def __init__(self, image: Any, blocks: str, digest_size: int, attempt: int) -> None: ...
    def pack(self, base: str) -> str | None: ...

def wanted(
    device: Any, state: Any, installed: int, image_name: str, now: str, target: Any
) -> tuple[str, int]: ...
def fits(
    device: Any, state: Any, installed: int, slot_size: int, seq: int, attempt: int, target: Any
) -> Offer: ...
