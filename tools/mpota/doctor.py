# SPDX-License-Identifier: MIT
"""Read a board's state through its raw REPL, judge it, and say in words what is wrong.

Nothing here rests on an `ota` that works on the board: files are read by MicroPython itself and
judged on this computer, by the device's own code where there is any. Only the last question, what
`ota.status()` answers, is put to the board's own library.

A finding is *wrong* (something is to be done), or a *note*.
"""

from __future__ import annotations

import binascii
import json
import struct
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509

from mpota import names, provision
from mpota.board import Board, Raised
from mpota.errors import MpotaError
from mpota.probe import Found, probe
from mpota.repository import root_versions
from mpota.workspace import Workspace

_STATE = "/ota-state"
_TREES = {"a": "/ota-app/a", "b": "/ota-app/b"}
_MEMORIES = {"firmware": "update", "app": "update-app"}
_RECORD_MAX = 16384 + 16
_CONFIG_MAX = 16384
_ROOT_MAX = 65536
_LIST_MAX = 65536
_SCRIPT_MAX = 16384
_FILES_MAX = 2000  # names in a folder that are looked at
_DEPTH = 8
_TEXT = 160
_SOON = timedelta(days=30)
_SKEW = timedelta(minutes=10)  # certificates and metadata bear that much
_FREE_MIN = 64 << 10
_OTADATA = {
    0: "new",
    1: "on trial",
    2: "kept",
    3: "invalid",
    4: "given up",
    0xFFFFFFFF: "undefined",
}
# For an application that is beyond its own help: a tree without its list is written anew.
_ANEW = "mpota push; if that fails: mpremote rm :/ota-app/a/.ota-list, then mpota provision"
_TREE_STATES = {"N": "is tried at the next reset", "P": "is on trial", "V": "is kept"}


@dataclass(frozen=True)
class Finding:
    level: str  # "wrong" or "note"
    what: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.what}" + (f"; {self.todo}" if self.todo else "")


@dataclass
class Report:
    found: Found
    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_healthy(self) -> bool:
        return all(finding.level != "wrong" for finding in self.findings)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def wrong(self, what: str, todo: str) -> None:
        self.findings.append(Finding("wrong", what, todo))

    def note(self, what: str, todo: str = "") -> None:
        self.findings.append(Finding("note", what, todo))


def examine(board: Board, workspace: Workspace | None, now: datetime) -> Report:
    """Return what there is to say about the board. Reads, and writes nothing.

    Python is started anew before: what ran may have been interrupted in the middle of boot.py.
    """
    board.soft_reset()
    report = Report(probe(board))
    state = _State(board)
    _about_board(report, now)
    _about_files(report, board)
    config = _about_config(report, state)
    _about_root(report, state, workspace, config)
    _about_ca(report, state, config, now)
    _about_trust(report, state, now)
    _about_slots(report, board)
    trees = _about_trees(report, board, state, config)
    _about_memory(report, state, config, trees)
    _about_scripts(report, board, config, trees)
    _about_library(report, board, config)
    return report


class _State:
    """A copy of /ota-state as far as it is small, and what its records hold."""

    def __init__(self, board: Board) -> None:
        self.there = dict(list(board.listdir(_STATE).items())[:_FILES_MAX])
        self._board = board
        self._read: dict[str, bytes | None] = {}

    def read(self, name: str, limit: int) -> bytes | None:
        if self.there.get(name) is None:
            return None
        if name not in self._read:
            self._read[name] = self._board.read(f"{_STATE}/{name}", limit)
        return self._read[name]

    def record(self, name: str) -> bytes | None:
        """Return a record as the device's own Store finds it, or None."""
        from ota.adapters.store import Store
        from ota.errors import StoreError

        with tempfile.TemporaryDirectory() as folder:
            for number in (0, 1):
                data = self.read(f"{name}.{number}", _RECORD_MAX)
                if data is not None:
                    Path(folder, f"{name}.{number}").write_bytes(data)
            try:
                content = Store(folder).load(name)
            except StoreError:
                return None
        return bytes(content) if content is not None else None

    def is_broken(self, name: str) -> bool:
        """Tell whether there are files of a record, but no record in them."""
        files = [f"{name}.{number}" for number in (0, 1) if self.there.get(f"{name}.{number}")]
        return bool(files) and self.record(name) is None


# ---- each part


def _about_board(report: Report, now: datetime) -> None:
    found = report.found
    report.say(f"{found.port}: {found.name} ({found.machine}), MicroPython {found.version}")
    report.say(f"possible updates: {found.possible()}")
    fs = f"{found.fs or 'file system'} of {found.fs_size // 1024} KB"
    report.say(f"{fs}, {found.fs_free // 1024} KB free; {found.heap // 1024} KB of heap free")
    if found.fs_size and found.fs_free < _FREE_MIN:
        what = f"only {found.fs_free // 1024} KB are free in the file system"
        report.wrong(what, "remove what is not needed: an update needs room for what it changes")
    clock = _moment(found.clock)
    report.facts["clock"] = clock and names.time_text(clock)
    if clock is None or clock.year < 2024:
        report.note(
            f"its clock is not set ({names.time_text(clock) if clock else 'unreadable'})",
            "the application has to set it before TLS can check dates: --ntp of mpota provision",
        )
    elif abs(clock - now) > _SKEW:
        report.note(f"its clock says {names.time_text(clock)}", "mpota push sets it; so does NTP")
    if not found.network:
        report.note("no network in its firmware", "updates come by mpota push")


def _moment(fields: tuple[int, ...]) -> datetime | None:
    try:
        return datetime(*fields[:6], tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
    except (ValueError, TypeError, OverflowError):
        return None


def _about_files(report: Report, board: Board) -> None:
    """What hides something else, or is left over."""
    root = board.listdir("/")
    for name in ("ota", "ota.py", "ota.mpy"):
        if name in root:
            report.wrong(
                f"/{name} hides the library: the root is searched first",
                f"remove it: mpremote rm -r :/{name}",
            )
    if ".mpota-part" in root:
        report.note("an earlier mpota was interrupted", "run mpota provision again")
    for folder in ("", "/lib"):
        inside = board.walk(folder, 0 if not folder else _DEPTH)
        for twin in _twins(inside):
            report.wrong(
                f"{twin}.py and {twin}.mpy are both there: MicroPython takes the .py",
                "remove the one that is old, or run mpota provision again",
            )
    if report.found.frozen and "ota" in board.listdir("/lib"):
        report.note(
            f"/lib/ota is not used: ota {report.found.frozen} is frozen in the firmware",
            "remove it, to save space: mpremote rm -r :/lib/ota",
        )


def _twins(paths: list[str]) -> list[str]:
    stems = {path[:-3] for path in paths if path.endswith(".py")}
    return sorted(stems & {path[:-4] for path in paths if path.endswith(".mpy")})


def _about_config(report: Report, state: _State) -> dict[str, Any]:
    data = state.read("config.json", _CONFIG_MAX)
    again = "run mpota provision again"
    if data is None:
        if report.found.frozen:  # it may have a configuration frozen in: `ota` says so later
            report.note("no /ota-state/config.json")
        else:
            report.wrong("it was never provisioned: no /ota-state/config.json", again)
        return {}
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        report.wrong("its configuration is not JSON", f"{again}, with --force")
        return {}
    for key in ("board", "channel"):
        if not isinstance(config.get(key), str) or not config[key]:
            report.wrong(f"its configuration lacks {key}", f"{again}, with --force")
    if not config.get("product") and not config.get("app"):
        report.wrong("its configuration names neither product nor app", f"{again}, with --force")
    urls = config.get("urls")
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        report.wrong("its configuration has no URLs", f"{again}, with --force")
        urls = []
    for url in urls:
        try:
            names.base_url(url)
        except MpotaError as error:
            report.wrong(
                f"a URL of its configuration is wrong: {error.what}", f"{again}, with --force"
            )
    if config.get("product") and not report.found.has_slots:
        report.wrong(
            "it is configured for firmware updates, which it cannot take",
            f"{report.found.possible()}: {again}, with --force",
        )
    keys = ("product", "app", "board", "channel", "urls", "groups", "trial_s", "ntp")
    report.facts["config"] = {key: config[key] for key in keys if key in config}
    told = [f"{key} {_short(config[key])}" for key in keys[:4] if config.get(key)]
    report.say(
        f"configured for {', '.join(told)}; looks at {' '.join(map(_short, urls)) or 'nothing'}"
    )
    return config


def _about_root(
    report: Report, state: _State, workspace: Workspace | None, config: dict[str, Any]
) -> None:
    data = state.read("root.json", _ROOT_MAX)
    if data is None:
        if config:
            report.wrong("no trusted root: /ota-state/root.json", "run mpota provision again")
        return
    if workspace is None:
        report.note("no repository here to compare its trusted root with", "see --repo")
        return
    for version in root_versions(workspace.metadata):
        if (workspace.metadata / f"{version}.root.json").read_bytes() == data:
            report.say(f"trusts root {version} of {workspace.folder}")
            return
    report.wrong(
        f"its trusted root is not of the repository in {workspace.folder}",
        "name the right one with --repo; or provision with --force to make it trust this one",
    )


def _about_ca(report: Report, state: _State, config: dict[str, Any], now: datetime) -> None:
    name = config.get("ca")
    if not isinstance(name, str) or "/" in name:
        return
    data = state.read(name, _ROOT_MAX)
    if data is None:
        report.wrong(f"no CA certificate: {_STATE}/{_short(name)}", "run mpota provision again")
        return
    try:
        certificates = der_certificates(data)
    except ValueError:
        report.wrong("its CA file is no certificate", "run mpota provision again, with --force")
        return
    ends = []
    for certificate in certificates:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        ends.append(names.time_text(end))
        if end <= now:
            report.wrong(
                f"a CA certificate of it expired on {end:%Y-%m-%d}",
                "sign new settings (mpota settings --ca), or provision with --ca and --force",
            )
        elif end <= now + _SOON:
            report.wrong(
                f"a CA certificate of it expires on {end:%Y-%m-%d}", "mpota settings --ca"
            )
        elif start > now:
            report.wrong(f"a CA certificate of it is valid from {start:%Y-%m-%d} on only", "wait")
    report.facts["ca"] = ends
    report.say(f"CA certificates: {len(ends)}, the first expires {min(ends)[:10]}")


def der_certificates(data: bytes) -> list[x509.Certificate]:
    """Return the certificates that lie in `data` one after the other. Raises ValueError."""
    found = []
    while data:
        if data[0] != 0x30 or len(data) < 4:
            raise ValueError("no certificate")
        count = data[1] & 0x7F if data[1] & 0x80 else 0
        if count > 3:
            raise ValueError("length")
        length = int.from_bytes(data[2 : 2 + count], "big") if count else data[1]
        end = 2 + count + length
        found.append(x509.load_der_x509_certificate(data[:end]))
        data = data[end:]
    if not found:
        raise ValueError("empty")
    return found


def _about_trust(report: Report, state: _State, now: datetime) -> None:
    """The floors of the metadata: what the trust client has accepted."""
    record = state.record("trust")
    if record is None:
        if state.is_broken("trust"):
            report.note(
                "its record of accepted metadata is damaged: it begins anew at the next check"
            )
        else:
            report.say("metadata: none accepted yet, it has not looked for updates")
        return
    try:
        floor, issued, *roles = [json.loads(line) for line in record.split(b"\n")]
        versions = {str(name): (int(entry[1]), str(entry[5])) for name, entry in roles}
        floor, issued = int(floor), str(issued)
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        report.note("its record of accepted metadata is of another version of ota")
        return
    report.facts["metadata"] = {"root_floor": floor, "issued": issued, "versions": versions}
    shown = ", ".join(f"{_short(name)} {version}" for name, (version, _) in versions.items())
    report.say(f"metadata accepted: {shown}; root floor {floor}")
    expired = [name for name, (_, end) in versions.items() if end <= names.time_text(now)]
    if expired:
        report.note(
            f"metadata that it has is past its date: {', '.join(map(_short, expired))}",
            "it fetches newer at its next check; sign it with mpota refresh, then mpota publish",
        )


def _about_slots(report: Report, board: Board) -> None:
    slots = report.found.slots
    if slots is None:
        return
    if report.found.platform == "rp2":
        answer = board.ask(_RP2)
        if isinstance(answer, tuple) and len(answer) == 4:
            trial, pending, keys, counter = answer
            report.facts["slots"] = {
                "running": slots.running,
                "on_trial": trial,
                "boot_keys": keys,
            }
            text = "on trial" if trial else "kept"
            report.say(
                f"firmware: slot {slots.running} runs, {text}; {keys} boot keys, floor {counter}"
            )
            _about_firmware_trial(report, trial is True, pending is True)
            if keys == 0:
                report.note("its bootloader has no keys: it checks firmware for damage only")
        return
    answer = board.ask(_ESP32)
    records = []
    for data in answer if isinstance(answer, list) else ():
        if isinstance(data, bytes) and len(data) == 32:
            records.append(_otadata(data))
    report.facts["slots"] = {"running": slots.running, "spare": slots.spare, "otadata": records}
    if slots.spare is None:
        return
    named = [record for record in records if record]
    active = max(named, key=lambda record: record["seq"], default=None)
    state = active["state"] if active else "no record"
    report.say(f"firmware: {slots.running} runs, {state}; spare {slots.spare}")
    names_running = active is not None and slots.running.endswith(
        str((active["seq"] - 1) % slots.count)
    )
    trial = state == "on trial" and names_running
    _about_firmware_trial(report, trial, state == "new")
    if any(record is not None and record["state"] == "given up" for record in records):
        report.note("the bootloader has given up a firmware that did not confirm itself")


def _about_firmware_trial(report: Report, on_trial: bool, pending: bool) -> None:
    if on_trial:
        report.note("its firmware is on trial", "the application has to call ota.settle()")
    elif pending:
        report.note("a new firmware waits for the next reset", "reset it")


def _otadata(data: bytes) -> dict[str, Any] | None:
    seq, state, crc = struct.unpack("<I20xII", data)
    if seq == 0xFFFFFFFF or crc != binascii.crc32(data[:4], 0xFFFFFFFF) & 0xFFFFFFFF:
        return None
    return {"seq": seq, "state": _OTADATA.get(state, f"state {state:#x}")}


_ESP32 = """
from esp32 import Partition as P
p=P.find(P.TYPE_DATA,subtype=0)
l=[]
for n in (0,1) if p else ():
 b=bytearray(32)
 p[0].readblocks(n,b,0)
 l.append(bytes(b))
tell(l)
"""
_RP2 = """
from ota_rp2 import Boot
b=Boot()
tell((b.on_trial,b.switch_pending,b.boot_keys,b.counter))
"""


def _about_trees(
    report: Report, board: Board, state: _State, config: dict[str, Any]
) -> dict[str, Any]:
    """The application: which tree runs, and whether the files are what their list says."""
    lists = {}
    for letter, path in _TREES.items():
        data = board.read(f"{path}/{provision.LIST}", _LIST_MAX)
        if data is not None:
            lists[letter] = data
    if not lists and not config.get("app"):
        return {}
    record = (state.record("tree") or b"").decode("ascii", "replace")
    if len(record) != 2 or record[0] not in _TREES or record[1] not in _TREE_STATES:
        if state.is_broken("tree"):
            report.wrong(
                "the record of the application is damaged", "reset the board: it finds one"
            )
        record = "aV" if "a" in lists or not lists else "bV"
    letter, condition = record[0], record[1]
    if not lists:
        report.wrong(
            "no application: neither /ota-app/a nor b is whole", "run mpota provision again"
        )
        return {}
    trees: dict[str, Any] = {"running": letter, "state": condition, "identities": {}}
    if condition == "N":
        report.note(f"a new application in tree {letter} waits for the next reset", "reset it")
        trees["running"] = letter = _other(letter)
    elif condition == "P":
        report.note("its application is on trial", "it has to call ota.settle()")
    for name, data in lists.items():
        trees["identities"][name] = sha256(data).hexdigest()
        bad = _damage(board, _TREES[name], data)
        if bad is None:
            continue
        if name == letter:
            todo = (
                "reset the board: it goes back to the other one"
                if len(lists) > 1
                else "mpota push"
            )
            report.wrong(f"its application is damaged: {bad}", todo)
        else:
            report.note(f"the spare application in tree {name} is damaged: {bad}")
    if letter not in lists:
        report.wrong(
            f"the application of tree {letter} is not whole", "reset the board, then mpota push"
        )
    report.say(f"application: tree {letter} runs; whole trees: {' '.join(sorted(lists))}")
    inside = board.walk(_TREES[letter], _DEPTH)
    for twin in _twins(inside):
        report.wrong(f"{twin}.py and {twin}.mpy are both there", "release without one of them")
    if "ota" in board.listdir("/lib") and f"{_TREES[letter]}/lib/ota" in _folders(inside):
        report.note(
            "/lib/ota is not used: the application has its own", "remove it, to save space"
        )
    report.facts["application"] = trees
    return trees


def _folders(paths: list[str]) -> set[str]:
    return {path.rpartition("/")[0] for path in paths}


def _other(letter: str) -> str:
    return "b" if letter == "a" else "a"


def _damage(board: Board, path: str, data: bytes) -> str | None:
    """Return which file of a tree is not what its list says, or None."""
    for digest in (32, 16):
        wanted = _entries(data, digest)
        if wanted is not None:
            break
    else:
        return "its file list is none"
    paths = list(wanted)
    for at in range(0, len(paths), 12):
        some = paths[at : at + 12]
        answer = board.ask(_DIGESTS + f"tell([g({path!r}+'/'+p,{digest}) for p in {some!r}])")
        if not isinstance(answer, list) or len(answer) != len(some):
            return "unreadable"
        for name, fact in zip(some, answer, strict=True):
            if fact != wanted[name]:
                return name
    return None


def _entries(data: bytes, digest: int) -> dict[str, tuple[int, str]] | None:
    """Return path -> (size, hash of the digests) of a file list, or None if it is none."""
    found = {}
    at = 0
    try:
        while at < len(data):
            length = data[at]
            name = data[at + 1 : at + 1 + length].decode("ascii")
            at += 1 + length
            (size,) = struct.unpack_from("<I", data, at)
            at += 4
            count = -(-size // 4096) * digest
            if at + count > len(data) or not name or name in found:
                return None
            found[name] = (size, sha256(data[at : at + count]).hexdigest())
            at += count
    except (struct.error, UnicodeDecodeError, IndexError):
        return None
    return found


_DIGESTS = (
    "import hashlib,binascii\n"
    "def g(p,d):\n"
    " try:\n  f=open(p,'rb')\n"
    " except OSError:\n  return None\n"
    " n=0\n o=hashlib.sha256()\n b=memoryview(bytearray(512))\n"
    " with f:\n"
    "  while True:\n"
    "   s=hashlib.sha256()\n   k=0\n"
    "   while k<4096:\n"
    "    c=f.readinto(b)\n"
    "    if not c: break\n"
    "    k+=c\n    s.update(b[:c])\n"
    "   if not k: break\n"
    "   n+=k\n   o.update(s.digest()[:d])\n"
    " return n,str(binascii.hexlify(o.digest()),'ascii')\n"
)


def _about_memory(
    report: Report, state: _State, config: dict[str, Any], trees: dict[str, Any]
) -> None:
    """What the device remembers of its updates: floor, trial, last outcome, rejected images."""
    for kind, name in _MEMORIES.items():
        key = "product" if kind == "firmware" else "app"
        record = state.record(name)
        if record is None:
            if state.is_broken(name):
                report.note(f"its memory of {kind} updates is damaged: it begins anew")
            continue
        try:
            memory = json.loads(record)
            images = memory["images"]
            versions = {identity: str(image[2]) for identity, image in images.items()}
            minseq = int(memory["minseq"])
            trial, last, rejected = memory["trial"], memory["last"], memory["rejected"]
            tries = int(trial["tries"]) if trial else 0
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            report.note(f"its memory of {kind} updates is of another version of ota")
            continue
        report.facts[name] = {"minseq": minseq, "trial": trial, "last": last, "rejected": rejected}
        line = f"{kind} {_short(config.get(key, ''))}: floor seq {minseq}"
        if kind == "app" and trees:
            running = trees["identities"].get(trees["running"])
            line += f", runs {_short(versions.get(running, 'the first one'))}"
        if isinstance(last, dict):
            line += f", last: {_short(last.get('version', ''))} {_short(last.get('outcome', ''))}"
            if last.get("why"):
                line += f" ({_short(last['why'])})"
            if last.get("outcome") in ("rejected", "reverted"):
                report.note(
                    f"the last {kind} update went back: {_short(last.get('why', ''))}",
                    "look at the release: did it call ota.settle(), did its check answer True?",
                )
        if tries:
            line += f", on trial or waiting, {tries} tries"
        report.say(line)
    if any(name.startswith("journal") for name in state.there):
        report.say("there is a journal in /ota-state")


def _about_scripts(
    report: Report, board: Board, config: dict[str, Any], trees: dict[str, Any]
) -> None:
    """boot.py and main.py: what starts the application, or guards a trial."""
    boot = board.read("/boot.py", _SCRIPT_MAX) or b""
    main = board.read("/main.py", _SCRIPT_MAX) or b""
    again = "run mpota provision again"
    if config.get("app"):
        for name, old in (("boot.py", boot), ("main.py", main)):
            new = provision.app_file(name)
            if old == new:
                continue
            if provision.is_ours(old, new):
                report.note(f"its {name} is of another version of mpota", again)
            elif not provision.has_code(old):
                report.wrong(f"no {name} that starts the application", again)
            else:
                report.wrong(f"its {name} is not the one that starts the application", again)
    elif config and not report.found.frozen and b"ota.guard()" not in boot:
        report.wrong(
            "boot.py does not begin with the guard: a bad firmware could stay",
            f"add the line `{provision.GUARD}` at its top",
        )
    path = f"{_TREES[trees['running']]}/main.py" if trees else "/main.py"
    program = board.read(path, _SCRIPT_MAX) or b""
    if b"WDT(" in program:
        report.note(
            f"{path} starts a watchdog of its own: it replaces the one of a trial, and bites while"
            " the board is at its REPL",
            "feed it during downloads, and give it more time than a block takes",
        )


def _about_library(report: Report, board: Board, config: dict[str, Any]) -> None:
    """What `ota` on the board says itself, if it can be loaded."""
    try:
        status = "ota.status()" if report.found.network else _STATUS_WITHOUT_NETWORK
        answer = board.ask(_STATUS.replace("@", status), patience_s=60)
    except Raised as error:
        if config:
            todo = _ANEW if config.get("app") else "run mpota provision again"
            report.wrong(f"ota cannot be loaded: {error.last}", todo)
        return
    if not isinstance(answer, tuple) or len(answer) != 3:
        report.wrong("ota answers nonsense", "run mpota provision again")
        return
    version, status, trouble = answer
    from ota import __version__ as here

    text = f"ota {_short(version)}"
    if isinstance(status, dict):
        report.facts["status"] = status
        text += f", from {_short(status.get('loaded_from', ''))}"
        text += f", verifier in {'C' if status.get('verifier') == 'native' else 'Python'}"
        if status.get("shadowed"):
            report.wrong(
                f"ota is loaded from {_short(status.get('loaded_from'))}, which hides"
                f" {_short(status['shadowed'])}",
                "remove the former",
            )
        if status.get("verifier") != "native":
            report.note("signatures are checked in Python: a check takes seconds")
    report.say(text)
    report.facts["ota"] = _short(version)
    if trouble:
        report.wrong(f"ota does not work: {_short(trouble)}", "run mpota provision again")
    if version != here and not report.found.frozen:
        report.note(f"this computer has ota {here}", "a new release brings it along")


_STATUS_WITHOUT_NETWORK = (
    "ota.Updater.from_config(fetcher=__import__('ota.adapters.folder',None,None,('x',))"
    ".Folder('/')).status()"
)
_STATUS = """
import gc
gc.collect()
import ota
try: s,e=@,None
except Exception as x: s,e=None,type(x).__name__+' '+' '.join([str(a)[:80] for a in x.args])
if s: s={k:s[k] for k in s if type(s[k]) in (str,int,bool,type(None))}
tell((ota.__version__,s,e))
"""


def _short(value: object) -> str:
    text = str(value)[:_TEXT]
    return text if text.isprintable() else ascii(text)
