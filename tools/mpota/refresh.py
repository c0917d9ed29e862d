# SPDX-License-Identifier: MIT
"""Sign again what is past half of its life, as far as the keys at hand can do it.

Made for cron: the online keys are enough for what expires often. What only offline keys could
sign is reported, not failed on, until it has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mpota import names
from mpota.errors import MpotaError
from mpota.keys import Keyring
from mpota.repository import Committed, Repository, open_repository, pending_files

ONLINE = ("snapshot", "timestamp")


@dataclass(frozen=True)
class RoleState:
    role: str
    version: int
    expires: str
    due: str  # when half of its life is over
    state: str  # "fresh", "renewed", "due" (past half of its life) or "expired"
    why: str = ""  # why a due or expired role was not renewed


@dataclass(frozen=True)
class Refreshed:
    roles: list[RoleState]
    committed: Committed

    @property
    def is_expired(self) -> bool:
        return any(role.state == "expired" for role in self.roles)


def refresh(
    repository: Repository, keyring: Keyring, now: datetime, *, dry_run: bool = False
) -> Refreshed:
    """Renew what is due, and finish a change that waited for signatures."""
    committed = Committed({})
    why: dict[str, str] = {}
    if dry_run:
        return Refreshed(_states(repository, now, committed, why), committed)
    waiting = pending_files(repository.workspace)
    if waiting:
        committed = repository.complete(keyring, now)
        repository = open_repository(repository.workspace)
        if not committed.is_done:  # the rest must not expire meanwhile
            why = {role: f"waits for signatures in {path}" for role, path in waiting.items()}
    due = [role for role in repository.documents() if repository.is_past_half(role, now)]
    for role in (role for role in due if role not in why):
        reason = _cannot_sign(repository, keyring, role)
        if reason:
            why[role] = reason
    online_due = any(role in ONLINE for role in due)
    renewable = [role for role in due if role not in why and role not in ONLINE]
    if (renewable or online_due) and not any(role in why for role in ONLINE):
        for role in renewable:
            repository.touch(role)
        done = repository.commit(keyring, now)
        written = {**committed.written, **done.written}
        committed = Committed(written, committed.missing + done.missing)
    return Refreshed(_states(repository, now, committed, why), committed)


def _cannot_sign(repository: Repository, keyring: Keyring, role: str) -> str:
    """Try to open enough keys for `role`; return "" or the reason why it cannot be signed."""
    needed = repository.delegator(role).get_delegated_role(role).threshold
    reasons = []
    for name, key in repository.keys_of(role).items():
        if needed == 0:
            break
        if not keyring.is_open(key.keyid) and not keyring.is_at_hand(name):
            reasons.append(f"key {name} is not here")
            continue
        try:
            keyring.signer(name, key)
        except MpotaError as error:
            reasons.append(str(error))
        else:
            needed -= 1
    return "" if needed == 0 else "; ".join(reasons)


def _states(
    repository: Repository, now: datetime, committed: Committed, why: dict[str, str]
) -> list[RoleState]:
    states = []
    for role, document in repository.documents().items():
        signed = document.signed
        if role in committed.written:
            state = "renewed"
        elif signed.is_expired(now):
            state = "expired"
        elif repository.is_past_half(role, now):
            state = "due"
        else:
            state = "fresh"
        expires = names.time_text(signed.expires)
        due = names.time_text(repository.due(role))
        states.append(RoleState(role, signed.version, expires, due, state, why.get(role, "")))
    return states
