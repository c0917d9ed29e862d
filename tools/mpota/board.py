# SPDX-License-Identifier: MIT
"""A board at the end of a cable: MicroPython's raw REPL, through mpremote.

What comes from a board is input like any other: it may be broken, or not what it was. So every
answer has a bound and every wait an end; answers are literals, never code; and a mounted folder is
read by the board and by nothing else of it: it cannot write there, nor leave it.

A cable may be pulled at any moment. A file is therefore written beside its name, read back by the
board and compared by hash, and renamed: under its name there is the old content or the new one.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import errno
import io
import os
import posixpath
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport, fs_hook_cmds, fs_hook_code
from serial.tools import list_ports

from mpota.errors import MpotaError

AUTO = "auto"
MOUNT = "/remote"  # where mpremote's code mounts

_BAUD = 115200  # what ports with a UART speak; USB serial ignores it
_POLL_S = 0.02
_PATIENCE_S = 10.0  # between two bytes: flash may be busy that long, a garbage collection not
_BUSY = "the port is busy"
_BUSY_S = 3.0  # systems look at a port that has just been plugged in
_ENTER_S = 3.0  # for the raw REPL to answer
_QUIET_S = 0.1
_ANSWER_MAX = 256 << 10  # bytes that one snippet may answer
_TRACE_MAX = 160  # characters of a board's traceback that are shown
_PIECE = 1024  # bytes of a file in one snippet: as source it takes 1.4 KB of the board's heap
_SERVED_MAX = 240  # bytes of a mounted file in one answer: a UART's ring buffer holds 256
_OPEN_MAX = 16  # files that a board may have open in a mounted folder
_PATH_MAX = 512
_NUMBER_END = 1 << 64
_NAMES_MAX = 4000  # below one folder
_PART = "/.mpota-part"


class BoardError(MpotaError):
    """The board, or the cable, failed; what was under way can be done again."""


class Raised(BoardError):
    """A snippet raised on the board. `last` is the last line of its traceback."""

    def __init__(self, trace: str) -> None:
        lines = trace.strip().splitlines() or ["nothing that can be read"]
        self.last = lines[-1][:_TRACE_MAX]
        super().__init__("the board raised", self.last, "see mpota doctor")


def is_cable(device: str) -> bool:
    """Tell whether DEVICE of a command line names a cable, and not a folder."""
    if device == AUTO or "://" in device:
        return True
    if re.fullmatch(r"COM\d+", device, re.IGNORECASE):
        return True
    return device.startswith("/dev/") and not Path(device).is_dir()


def find(device: str) -> str:
    """Return the port that `device` means; for `auto` the only board with USB that is there."""
    if device != AUTO:
        return device
    ports = [port for port in list_ports.comports() if port.vid is not None]
    if not ports:
        todo = "plug it in with a cable that carries data, or name its port"
        raise MpotaError("no board found", "", todo)
    if len(ports) > 1:
        names = ", ".join(sorted(f"{port.device} ({port.description})" for port in ports))
        raise MpotaError("several boards", names, "name the port of the one that is meant")
    return str(ports[0].device)


def connect(device: str) -> Board:
    """Open the port and reach the raw REPL; what ran is interrupted, nothing is reset."""
    port = find(device)
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            transport = _Transport(port)
            break
        except TransportError:
            why = _why_closed(port)
        if why.what != _BUSY or time.monotonic() > end:
            raise why
        time.sleep(0.1)
    board = Board(transport, port)
    try:
        board.wake()
    except BaseException:
        board.close()
        raise
    return board


def _why_closed(port: str) -> MpotaError:
    """Say why a port cannot be opened: mpremote keeps the reason to itself."""
    try:
        serial.serial_for_url(port, baudrate=_BAUD, exclusive=True).close()
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        text = str(error)
    else:
        return BoardError("cannot open the port", port, "try again")
    if number == errno.ENOENT or not ("://" in port or os.name == "nt" or os.path.exists(port)):
        return BoardError(
            "no such port", port, "look which ports there are: mpremote connect list"
        )
    if number in (errno.EACCES, errno.EPERM):
        return BoardError("no permission for the port", port, _how_permitted(port))
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in text:
        todo = "another program has it open (a terminal, an editor, mpremote): close it"
        return BoardError(_BUSY, port, todo)
    return BoardError("cannot open the port", port, text.splitlines()[0][:_TRACE_MAX])


def _how_permitted(port: str) -> str:
    try:
        import grp

        group = grp.getgrgid(os.stat(port).st_gid).gr_name
    except (ImportError, KeyError, OSError):
        return "close what has it open, or ask who runs this computer"
    if group == "root":
        return "its group is root: give yourself access, for example by a udev rule"
    return f"join its group, then log in again: sudo usermod -aG {group} $USER"


class _Line:
    """The port, with an end to every wait and a bound to all that comes.

    It has the names that mpremote calls. `_input` holds what came and was not asked for yet.
    """

    def __init__(self, port: Any) -> None:
        self._port = port
        self._port.timeout = _POLL_S
        self._input = bytearray()
        self.patience_s = _PATIENCE_S
        self._left = _ANSWER_MAX

    def allow(self, count: int) -> None:
        """From now on, let so many bytes come and no more."""
        self._left = count

    def wait(self) -> None:
        """Wait a moment for input, if there is none."""
        if not self._input:
            self._take(max(1, self._port.in_waiting))

    def _take(self, count: int) -> None:
        data = self._port.read(min(count, 4096))
        self._left -= len(data)
        if self._left < 0:
            raise BoardError("the board says too much", self._port.name, "reset it, try again")
        self._input += data

    def inWaiting(self) -> int:
        """Return how much input there is, now."""
        count = self._port.in_waiting
        if count:
            self._take(count)
        return len(self._input)

    def read(self, count: int = 1) -> bytes:
        """Return exactly so many bytes."""
        end = time.monotonic() + self.patience_s
        while len(self._input) < count:
            before = len(self._input)
            self._take(max(1, self._port.in_waiting))
            if len(self._input) > before:
                end = time.monotonic() + self.patience_s
            elif time.monotonic() > end:
                raise BoardError("the board stopped answering", self._port.name, _AGAIN)
        data = bytes(self._input[:count])
        del self._input[:count]
        return data

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def drop_input(self, quiet_s: float = 0.0) -> None:
        """Drop what comes, until nothing came for a moment, or for so long."""
        heard = time.monotonic()
        while True:
            self.wait()
            if self._input:
                self._input.clear()
                heard = time.monotonic()
            elif time.monotonic() >= heard + quiet_s:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._port.close()


_AGAIN = "look at the cable, reset the board, and run this again"


class _Transport(SerialTransport):  # type: ignore[misc]
    """mpremote's transport over a _Line, with a mount that only reads."""

    def __init__(self, port: str) -> None:
        self.serial: Any
        super().__init__(port, baudrate=_BAUD, timeout=_POLL_S)
        if isinstance(getattr(self.serial, "_socket", None), socket.socket):
            # Short messages go both ways: each would wait for the other side's next one.
            self.serial._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line = _Line(self.serial)
        self.serial = self.line

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = _PATIENCE_S,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        """Return what comes up to `ending`, less when time is up: callers look at the end."""
        data = bytearray()
        begin = heard = time.monotonic()
        while not data.endswith(ending):
            if self.serial.inWaiting():
                piece = self.serial.read(1)
                data += piece
                if data_consumer:
                    data_consumer(piece)
                heard = time.monotonic()
                continue
            self.line.wait()
            now = time.monotonic()
            if timeout is not None and now > heard + timeout:
                break
            if timeout_overall is not None and now > begin + timeout_overall:
                break
        return bytes(data)

    def close(self) -> None:
        self.line.close()

    def serve(self, folder: Path) -> None:
        """Mount `folder` on the board, to be read."""
        self.exec(fs_hook_code)
        self.exec("__mount()\nos.chdir('/')")
        self.mounted = True
        self.serial = _Intercept(self.line, _Served(self.line, folder))

    def unserve(self) -> None:
        self.exec(f"import os\nos.umount({MOUNT!r})")
        self.stop_serving()

    def stop_serving(self) -> None:
        self.mounted = False
        self.serial.close()
        self.serial = self.line


class _Intercept:
    """Answers what the board asks of a mounted folder, and passes on all else."""

    def __init__(self, line: _Line, served: _Served) -> None:
        self._line = line
        self._served = served
        self._input = bytearray()

    def inWaiting(self) -> int:
        if not self._input and self._line.inWaiting():
            self._take()
        return len(self._input)

    def read(self, count: int = 1) -> bytes:
        while len(self._input) < count:
            self._take()
        data = bytes(self._input[:count])
        del self._input[:count]
        return data

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def close(self) -> None:
        self._served.close()

    def _take(self) -> None:
        byte = self._line.read(1)
        if byte == b"\x18":
            self._served.answer()
        else:
            self._input += byte


class _Served:
    """The host's half of mpremote's remote file system, as much of it as reading takes."""

    def __init__(self, line: _Line, folder: Path) -> None:
        self._line = line
        self._folder = folder.resolve()
        self._files: dict[int, io.BufferedReader] = {}
        self._commands: dict[int, Callable[[], bytes]] = {
            fs_hook_cmds["CMD_STAT"]: self._stat,
            fs_hook_cmds["CMD_OPEN"]: self._open,
            fs_hook_cmds["CMD_CLOSE"]: self._close,
            fs_hook_cmds["CMD_READ"]: self._read,
            fs_hook_cmds["CMD_SEEK"]: self._seek,
            fs_hook_cmds["CMD_ILISTDIR_START"]: lambda: self._refuse("<b"),
            fs_hook_cmds["CMD_REMOVE"]: lambda: self._refuse("<i"),
            fs_hook_cmds["CMD_MKDIR"]: lambda: self._refuse("<i"),
            fs_hook_cmds["CMD_RMDIR"]: lambda: self._refuse("<i"),
            fs_hook_cmds["CMD_RENAME"]: lambda: self._refuse("<i", names=2),
        }

    def answer(self) -> None:
        command = self._commands.get(self._line.read(1)[0])
        if command is None:
            raise BoardError("the board asks for what is not served", self._folder, _AGAIN)
        self._line.write(b"\x18")
        self._line.write(command())

    def _number(self) -> int:
        return int(struct.unpack("<i", self._line.read(4))[0])

    def _text(self) -> str:
        length = self._number()
        if not 0 <= length <= _PATH_MAX:
            raise BoardError("the board asks for a name too long", self._folder, _AGAIN)
        return self._line.read(length).decode("utf-8", "replace") if length else ""

    def _path(self) -> Path | None:
        """Return the file that is asked for, or None if it is none of ours."""
        text = self._text()
        try:
            path = (self._folder / text.lstrip("/")).resolve()
        except (OSError, ValueError):
            return None
        return path if path.is_relative_to(self._folder) else None

    def _refuse(self, answer: str, names: int = 1) -> bytes:
        for _ in range(names):
            self._text()
        return struct.pack(answer, -errno.EACCES)

    def _stat(self) -> bytes:
        path = self._path()
        try:
            found = path and path.stat()
        except OSError:
            found = None
        if not found:
            return struct.pack("<b", -errno.ENOENT)
        times = (0, 0, 0)  # nothing of this computer that nobody needs
        return struct.pack("<b5I", 0, found.st_mode, found.st_size & 0xFFFFFFFF, *times)

    def _open(self) -> bytes:
        path = self._path()
        mode = self._text()
        if mode not in ("rb", "r") or path is None:
            return struct.pack("<b", -errno.ENOENT if mode in ("rb", "r") else -errno.EACCES)
        number = next((n for n in range(_OPEN_MAX) if n not in self._files), None)
        if number is None:
            return struct.pack("<b", -errno.ENFILE)
        try:
            self._files[number] = path.open("rb")
        except OSError as error:
            known = error.errno if error.errno in (errno.ENOENT, errno.EISDIR) else errno.EACCES
            return struct.pack("<b", -known)
        return struct.pack("<b", number)

    def _file(self) -> io.BufferedReader:
        number = self._line.read(1)[0]
        if number not in self._files:
            raise BoardError("the board reads a file that is not open", self._folder, _AGAIN)
        return self._files[number]

    def _close(self) -> bytes:
        number = self._line.read(1)[0]
        if number in self._files:
            self._files.pop(number).close()
        return b""

    def _read(self) -> bytes:
        file = self._file()
        count = self._number()
        data = file.read(min(count, _SERVED_MAX) if count >= 0 else _SERVED_MAX)
        return struct.pack("<i", len(data)) + data

    def _seek(self) -> bytes:
        file = self._file()
        offset, whence = self._number(), self._line.read(1)[0]
        try:
            return struct.pack("<i", file.seek(offset, whence))
        except (OSError, ValueError):
            return struct.pack("<i", -1)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


@dataclass(frozen=True)
class File:
    """A file on the board."""

    size: int
    sha256: str


class Board:
    """A board whose raw REPL answers. Paths are absolute on the board."""

    def __init__(self, transport: _Transport, name: str) -> None:
        self._transport = transport
        self.name = name

    def resume(self) -> None:
        """Let what was interrupted start again, by a soft reset: no try of a trial is lost."""
        with contextlib.suppress(TransportError, OSError, MpotaError):
            self._transport.exit_raw_repl()
            self._transport.line.write(b"\x04")

    def close(self) -> None:
        """Leave the port, with the board at its REPL unless it was told otherwise."""
        with contextlib.suppress(TransportError, OSError, MpotaError):
            self._transport.exit_raw_repl()
        self._transport.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wake(self) -> None:
        """Interrupt what runs and reach the raw REPL."""
        line = self._transport.line
        for _ in range(3):
            line.allow(_ANSWER_MAX)
            with self._edge():
                line.write(b"\r\x03\x03")
                line.drop_input()
                try:
                    self._enter()
                    # A board that was busy answers everything now, one prompt after the other.
                    line.drop_input(_QUIET_S)
                    self._enter()
                    return
                except TransportError:
                    continue
        todo = "is MicroPython on it? Press its reset button and try again at once"
        raise BoardError("the board does not answer", self.name, todo)

    def _enter(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._transport.enter_raw_repl(soft_reset=False, timeout_overall=_ENTER_S)

    def soft_reset(self) -> None:
        """Start Python anew: boot.py runs, main.py does not; the heap is whole again."""
        line = self._transport.line
        line.allow(_ANSWER_MAX)
        with self._edge():
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    self._transport.enter_raw_repl(soft_reset=True, timeout_overall=20)
                return
            except TransportError:
                pass
        self.wake()

    def reset(self) -> None:
        """Reset the chip, so that it boots as after power-on. The cable is of no use then."""
        line = self._transport.line
        with contextlib.suppress(BoardError), self._edge():
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
            line.patience_s = 1.0
            line.drop_input()

    def run(
        self,
        source: str,
        *,
        patience_s: float = _PATIENCE_S,
        limit: int = _ANSWER_MAX,
        heard: Callable[[bytes], None] | None = None,
    ) -> str:
        """Run `source` there to its end; return what it printed. Raises Raised if it raises.

        `patience_s`: how long it may say nothing. `heard(byte)` gets the output as it comes.
        """
        self._transport.line.allow(limit)
        with self._edge(), contextlib.redirect_stdout(io.StringIO()):
            printed, trace = self._transport.exec_raw(source, patience_s, heard)
        if trace:
            raise Raised(_text(trace))
        return _text(printed)

    def ask(self, source: str, **limits: Any) -> Any:
        """Run `source`, which calls `tell(value)` once; return that value.

        What else is printed meanwhile, by a thread or a timer, is left out.
        """
        head = "def tell(v):\n print('\\x02'+repr(v)+'\\x03',end='')\n"
        text = self.run(head + source, **limits)
        found = re.search("\x02([^\x02\x03]*)\x03", text)
        try:
            value = ast.literal_eval(found[1]) if found else None
            if _is_plain(value):
                return value
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
        raise BoardError("the board answers nonsense", self.name, _AGAIN)

    @contextlib.contextmanager
    def _edge(self) -> Iterator[None]:
        """Turn what a cable can fail with into one line."""
        try:
            yield
        except struct.error:
            raise BoardError("the board stopped answering", self.name, _AGAIN) from None
        except (OSError, serial.SerialException) as error:
            what = "the cable was pulled, or the board is gone"
            raise BoardError(what, self.name, _AGAIN) from error
        except TransportError as error:
            raise BoardError("the board stopped answering", self.name, _AGAIN) from error

    # ---- files

    def files(self, paths: Iterable[str]) -> dict[str, File]:
        """Return size and hash of those of `paths` that are files, as the board reads them."""
        found: dict[str, File] = {}
        names = list(paths)
        for at in range(0, len(names), 16):
            answer = self.ask(_HASH + f"tell([h(p) for p in {names[at : at + 16]!r}])")
            for name, fact in zip(names[at : at + 16], _list(answer), strict=False):
                if isinstance(fact, tuple) and len(fact) == 2 and isinstance(fact[0], int):
                    found[name] = File(fact[0], str(fact[1]))
        return found

    def read(self, path: str, limit: int = 64 << 10) -> bytes | None:
        """Return the first `limit` bytes of a file, or None: there is none."""
        source = (
            "import binascii\n"
            "def r(p,n):\n"
            " try:\n  f=open(p,'rb')\n"
            " except OSError:\n  return None\n"
            " with f:\n"
            "  while n>0:\n"
            "   b=f.read(min(n,384))\n"
            "   if not b: break\n"
            "   n-=len(b)\n"
            "   print(str(binascii.b2a_base64(b),'ascii').strip(),end=',')\n"
            " return True\n"
            f"print('\\x03' if r({path!r},{limit}) else '\\x02')"
        )
        text = self.run(source, limit=2 * limit + _ANSWER_MAX).rstrip()
        if text.endswith("\x02"):
            return None
        try:
            pieces = text.rstrip("\x03").split(",")
            return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)[:limit]
        except ValueError:
            raise BoardError("the board answers nonsense", self.name, _AGAIN) from None

    def listdir(self, path: str) -> dict[str, int | None]:
        """Return name -> size of what is in a folder, None for folders; empty if it is none."""
        source = (
            "import os\nl=[]\n"
            "try:\n"
            f" for e in os.ilistdir({path!r}):\n"
            "  l.append((e[0],None if e[1]==0x4000 else e[3] if len(e)>3 else 0))\n"
            "except OSError:\n pass\n"
            "tell(l)"
        )
        found: dict[str, int | None] = {}
        for entry in _list(self.ask(source)):
            if not isinstance(entry, tuple) or len(entry) != 2:
                raise BoardError("the board answers nonsense", self.name, _AGAIN)
            name, size = entry
            found[str(name)] = size if isinstance(size, int) else None
        return found

    def walk(self, folder: str, depth: int) -> list[str]:
        """Return the paths of all files below a folder, through so many folders.

        Raises BoardError rather than follow a damaged file system for ever.
        """
        found = []
        folders = [(folder.rstrip("/"), depth)]
        names = 0
        while folders:
            parent, depth = folders.pop()
            for name, size in sorted(self.listdir(parent or "/").items()):
                names += 1
                if names > _NAMES_MAX:
                    raise BoardError("too many files on the board", folder, "remove some")
                if size is not None:
                    found.append(f"{parent}/{name}")
                elif depth:
                    folders.append((f"{parent}/{name}", depth - 1))
        return sorted(found)

    def write(self, path: str, data: bytes) -> None:
        """Make `path` hold `data`: before, the old content; after, the new; never a mixture."""
        parent = posixpath.dirname(path)
        # A file that an interrupted write left open would be closed by the garbage collector, some
        # time later, and what it still holds written then: over the one that is written now.
        self.run(
            f"try:\n _part.close()\nexcept Exception:\n pass\n{_MAKE}mk({parent!r})\n"
            f"_part=open({_PART!r},'wb')\ndef w(s): _part.write(a(s))"
        )
        for at in range(0, len(data), _PIECE):
            self.run(f"w({base64.b64encode(data[at : at + _PIECE])!r})")
        digest = self.ask(f"_part.close()\n{_HASH}tell(h({_PART!r}))")
        if digest != (len(data), sha256(data).hexdigest()):
            raise BoardError("the board reads back something else", path, "its flash may be worn")
        self.run(f"os.rename({_PART!r},{path!r})")

    def free(self) -> int:
        """Return how many bytes the file system still takes."""
        space = self.ask("import os\ns=os.statvfs('/')\ntell(s[0]*s[3])")
        return space if isinstance(space, int) else 0

    def remove(self, path: str) -> None:
        """Remove a file; an absent one is no error."""
        self.run(f"import os\ntry:\n os.remove({path!r})\nexcept OSError:\n pass")

    def rename(self, old: str, new: str) -> None:
        self.run(f"import os\nos.rename({old!r},{new!r})")

    # ---- clock, mount

    def set_clock(self, now: datetime) -> None:
        """Set the board's clock to this UTC time."""
        fields = (now.year, now.month, now.day, now.weekday(), now.hour, now.minute, now.second, 0)
        self.run(f"import machine\nmachine.RTC().datetime({fields!r})")

    @contextlib.contextmanager
    def mounted(self, folder: Path) -> Iterator[str]:
        """Let the board read `folder`; yields the path under which it finds it."""
        with self._edge():
            self._transport.serve(folder)
        try:
            yield MOUNT
        except Raised:
            with contextlib.suppress(MpotaError), self._edge():
                self._transport.unserve()
            raise
        except BaseException:
            self._transport.stop_serving()  # who waits for an answer would be served on
            raise
        with self._edge():
            self._transport.unserve()


# Device code. One-letter names and single blanks: it is sent each time.
_HASH = (
    "import hashlib,binascii\n"
    "def h(p):\n"
    " try:\n  f=open(p,'rb')\n"
    " except OSError:\n  return None\n"
    " n=0\n s=hashlib.sha256()\n b=memoryview(bytearray(512))\n"
    " with f:\n"
    "  while True:\n"
    "   c=f.readinto(b)\n"
    "   if not c: break\n"
    "   n+=c\n   s.update(b[:c])\n"
    " return n,str(binascii.hexlify(s.digest()),'ascii')\n"
)
_MAKE = (
    "import os\nfrom binascii import a2b_base64 as a\n"
    "def mk(p):\n"
    " if p in ('','/'): return\n"
    " try:\n  os.stat(p)\n"
    " except OSError:\n  mk(p.rsplit('/',1)[0])\n  os.mkdir(p)\n"
)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_plain(value: object) -> bool:
    """Tell whether a value is of what boards answer: what can be shown, and written as JSON."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(value[key]) for key in value)
    if isinstance(value, int):
        return abs(value) < _NUMBER_END
    return value is None or isinstance(value, (str, bytes, float))
