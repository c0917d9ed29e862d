# SPDX-License-Identifier: MIT
"""`mpota.board`: mpremote's transport with bounds, against a simulated board and a hostile one."""

import errno
import os
import socket
import threading
from types import SimpleNamespace

import pytest
import serial

import cable
from mpota import board, probe
from mpota.board import BoardError, Raised
from mpota.errors import MpotaError
from sim import table


@pytest.fixture(scope="module")
def desk(tmp_path_factory, micropython):
    flash = cable.make_flash(tmp_path_factory.mktemp("desk") / "flash")
    with cable.esp32(micropython, flash) as desk:
        yield desk


@pytest.fixture
def there(desk):
    with board.connect(desk.port) as there:
        yield there


def test_code_runs_there_and_its_value_comes_back(there):
    assert there.run("print(6 * 7)") == "42\n"
    assert there.ask("tell((1, b'\\x02\\x03', 'a\\nb', None))") == (1, b"\x02\x03", "a\nb", None)


def test_what_else_is_printed_does_not_matter(there):
    assert there.ask("print('noise'); tell(5); print('more')") == 5


def test_what_raises_there_is_one_line(there):
    with pytest.raises(Raised, match="ZeroDivisionError") as caught:
        there.run("1/0")
    assert "\n" not in str(caught.value)


def test_program_that_runs_is_interrupted_and_goes_on_afterwards(desk):
    with board.connect(desk.port) as there:
        there.write("/main.py", b"while True:\n  print('busy')\n  import time; time.sleep(.1)\n")
        at = len(desk.console)
        there.resume()
    desk.wait("busy", since=at)
    with board.connect(desk.port) as there:
        assert there.run("print('idle')") == "idle\n"
        there.remove("/main.py")


def test_a_socket_does_as_well(tmp_path, micropython):
    flash = cable.make_flash(tmp_path / "flash")
    with cable.esp32(micropython, flash, pty=False) as desk, board.connect(desk.port) as there:
        assert there.run("print(1)") == "1\n"


# Files


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 9000])
def test_file_is_there_as_it_was_sent(there, size):
    data = os.urandom(size)
    there.write("/deep/er/file", data)
    assert there.read("/deep/er/file") == data
    assert there.files(["/deep/er/file", "/absent"])["/deep/er/file"].size == size
    assert there.listdir("/deep/er") == {"file": size} and there.listdir("/absent") == {}


def test_reading_stops_at_its_bound(there):
    there.write("/long", bytes(5000))
    assert there.read("/long", 100) == bytes(100) and there.read("/absent") is None


def test_bytes_that_flash_does_not_keep_are_noticed_and_replace_nothing(there):
    there.write("/file", b"old")
    there.run("import builtins\nreal = open\n")
    lossy = (
        "class Lossy:\n"
        " def __init__(s, *a): s.f = real(*a)\n"
        " def write(s, d): return s.f.write(b'x' * len(d))\n"
        " def close(s): s.f.close()\n"
        "open = lambda p, m='r': Lossy(p, m) if m == 'wb' else real(p, m)\n"
    )
    there.run(lossy)
    with pytest.raises(BoardError, match="reads back something else: /file"):
        there.write("/file", b"new")
    there.run("del open")
    assert there.read("/file") == b"old"


def test_cable_pulled_at_any_step_of_a_write_leaves_the_old_or_the_new(there, monkeypatch):
    """Each exchange with the board in turn is the last one."""

    def write(data, pulled_at):
        count = iter(range(1000))
        real = there.run

        def run(*args, **kwargs):
            if next(count) == pulled_at:
                raise BoardError("pulled")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(there, "run", run)
            there.write("/config", data)

    old, step = bytes(3000), 0
    there.write("/config", old)
    while True:
        new = bytes([step + 1]) * 3000
        try:
            write(new, step)
            break
        except BoardError:
            assert there.read("/config") == old
        step += 1
    assert there.read("/config") == new and step > 5


# A mounted folder


@pytest.fixture
def served(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "served" / "link").symlink_to("../secret")
    return tmp_path / "served"


def test_board_reads_a_mounted_folder_in_pieces(there, served):
    with there.mounted(served) as path:
        got = there.ask(f"f=open('{path}/file','rb'); f.seek(255); tell(f.read(3)); f.close()")
        assert got == b"\xff\x00\x01"
        count = there.ask(
            f"n=0\nb=bytearray(4096)\nwith open('{path}/file','rb') as f:\n"
            " while True:\n  c=f.readinto(b)\n  if not c: break\n  n+=c\ntell(n)"
        )
        assert count == 5120
    with pytest.raises(Raised, match=r"ENODEV|ENOENT"):
        there.run(f"open('{path}/file')")


@pytest.mark.parametrize("path", ["../secret", "link", "/../secret", "absent"])
def test_board_cannot_leave_a_mounted_folder(there, served, path):
    with there.mounted(served) as top, pytest.raises(Raised, match="OSError"):
        there.run(f"open('{top}/{path}', 'rb').read()")


@pytest.mark.parametrize(
    "code",
    [
        "open(p + '/file', 'wb')",
        "open(p + '/new', 'w')",
        "open(p + '/file', 'r+b')",
        "os.remove(p + '/file')",
        "os.rename(p + '/file', p + '/x')",
        "os.mkdir(p + '/x')",
        "os.listdir(p)",
    ],
)
def test_board_cannot_write_into_a_mounted_folder(there, served, code):
    before = {path: path.read_bytes() for path in served.iterdir()}
    with there.mounted(served) as top, pytest.raises(Raised, match="OSError"):
        there.run(f"import os\np = {top!r}\n{code}")
    assert {path: path.read_bytes() for path in served.iterdir()} == before


def test_board_that_asks_for_nonsense_is_left(desk, served):
    code = "import sys; sys.stdout.buffer.write(b'\\x18\\x7f')"
    with board.connect(desk.port) as there, there.mounted(served):  # noqa: SIM117
        with pytest.raises(BoardError, match="asks for what is not served"):
            there.run(code, patience_s=2)


# A hostile board


class Hostile:
    """Answers the way to the raw REPL properly, then what a test says, for ever."""

    def __init__(self, then):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self.server.getsockname()[1]}"
        self._then = then
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        line, _ = self.server.accept()
        try:
            for asked, answer in (
                (b"\r\x01", b"raw REPL; CTRL-B to exit\r\n>"),
                (b"\r\x01", b"raw REPL; CTRL-B to exit\r\n>"),
                (b"\x05A\x01", b"R\x00"),
            ):
                heard = b""
                while asked not in heard:
                    heard += line.recv(100)
                line.sendall(answer)
            heard = b""
            while not heard.endswith(b"\x04"):
                heard += line.recv(1000)
            for piece in self._then:
                line.sendall(piece)
            while line.recv(1000):
                pass
        except OSError:
            pass
        finally:
            line.close()


def endless(piece):
    yield piece
    while True:
        yield b"x" * 1000


@pytest.mark.parametrize(
    ("then", "what"),
    [
        (endless(b"OK"), "says too much"),
        (endless(b"OK\x04"), "says too much"),
        ([b"OK\x02" + b"[" * 5000 + b"\x03\x04\x04>"], "nonsense"),
        ([b"OK\x02__import__('os')\x03\x04\x04>"], "nonsense"),
        ([b"OK\x02'\xff"], "stopped answering"),
        ([b"no"], "stopped answering"),
        ([], "stopped answering"),
    ],
)
def test_hostile_answer_is_one_line(monkeypatch, then, what):
    monkeypatch.setattr(board, "_PATIENCE_S", 0.3)
    hostile = Hostile(then)
    with hostile.server, board.connect(hostile.port) as there:
        there._transport.line.patience_s = 0.3
        with pytest.raises(BoardError, match=what) as caught:
            there.ask("tell(1)", patience_s=0.3, limit=20000)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


def test_what_is_no_repl_is_one_line(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(board, "_ENTER_S", 0.1)
        with pytest.raises(BoardError, match="does not answer"):
            board.connect(port)


def test_pulled_cable_is_one_line(tmp_path, micropython):
    flash = cable.make_flash(tmp_path / "flash")
    with cable.esp32(micropython, flash, pty=False) as desk, board.connect(desk.port) as there:
        desk.unplug()
        with pytest.raises(BoardError, match="the cable was pulled"):
            there.run("print(1)")


# Ports


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ([], "no board found"),
        ([("/dev/ttyS0", None)], "no board found"),
        ([("/dev/ttyACM0", 1), ("/dev/ttyACM1", 1)], "several boards: /dev/ttyACM0 .*ttyACM1"),
        ([("/dev/ttyS0", None), ("/dev/ttyACM0", 1)], None),
    ],
)
def test_auto_means_the_only_board_with_usb(monkeypatch, ports, found):
    listed = [SimpleNamespace(device=n, vid=v, description="Board") for n, v in ports]
    monkeypatch.setattr(board.list_ports, "comports", lambda: listed)
    if found is None:
        assert board.find("auto") == "/dev/ttyACM0"
    else:
        with pytest.raises(MpotaError, match=found):
            board.find("auto")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (serial.SerialException(errno.EACCES, "no"), "no permission.*usermod -aG .* \\$USER"),
        (serial.SerialException(errno.EBUSY, "no"), "busy"),
        (serial.SerialException(errno.EAGAIN, "could not exclusively lock"), "busy"),
        (serial.SerialException(errno.EIO, "odd"), "cannot open the port"),
    ],
)
def test_port_that_cannot_be_opened_is_one_line(monkeypatch, tmp_path, error, what):
    file = tmp_path / "port"
    file.touch()

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(board, "_BUSY_S", 0)
    monkeypatch.setattr(serial, "serial_for_url", refuse)
    monkeypatch.setattr(board.os, "stat", lambda _: SimpleNamespace(st_gid=20))
    with pytest.raises(BoardError, match=what):
        board.connect(str(file))


def test_port_that_is_not_there_and_one_that_is_in_use(desk, monkeypatch):
    monkeypatch.setattr(board, "_BUSY_S", 0.2)
    with pytest.raises(BoardError, match="no such port: /dev/ttyNONE"):
        board.connect("/dev/ttyNONE")
    with board.connect(desk.port), pytest.raises(BoardError, match="busy"):
        board.connect(desk.port)


@pytest.mark.parametrize(
    ("device", "is_cable"),
    [
        ("auto", True),
        ("/dev/ttyACM0", True),
        ("COM7", True),
        ("socket://host:1", True),
        ("rfc2217://host:1", True),
        ("device", False),
        ("/dev/shm", False),
        ("./auto", False),
    ],
)
def test_folders_and_cables_are_told_apart(device, is_cable):
    assert board.is_cable(device) is is_cable


# Probing


def test_board_says_what_it_is(there):
    found = probe.probe(there)
    assert (found.name, found.chip, found.arch, found.mpy) == (
        "ESP32_GENERIC",
        "esp32",
        "xtensawin",
        "6.3",
    )
    assert found.fs_size == 1 << 20 and not found.has_slots and found.network and found.tls
    assert found.possible().startswith("applications; firmware not")


def test_two_slots_are_found(tmp_path, micropython):
    flash = cable.make_flash(tmp_path / "flash", table.OTA_8M)
    desk = cable.esp32(micropython, flash, build="SIL_WESP32")
    with desk, board.connect(desk.port) as there:
        found = probe.probe(there)
    assert (found.slots.running, found.slots.spare, found.slots.size) == (
        "ota_0",
        "ota_1",
        0x270000,
    )
    assert found.possible().startswith("firmware (slots of 2496 KB)") and found.kind.slot


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("i.name = 'circuitpython'", "runs circuitpython, not MicroPython"),
        ("i.version = (1, 22, 2, '')", "runs MicroPython 1.22.2: .*install 1.23 or later"),
        ("i.name = 'x' * 5000", "not MicroPython"),
        ("i.version = 'abc'", "runs MicroPython"),
    ],
)
def test_wrong_firmware_is_one_line(desk, code, what):
    with board.connect(desk.port) as there:
        there.run(f"import sys\ni = sys.implementation\n{code}")
        with pytest.raises(MpotaError, match=what) as caught:
            probe.probe(there)
        assert len(str(caught.value)) < 400
        there.soft_reset()


@pytest.mark.parametrize(
    ("build", "machine", "platform", "name"),
    [
        ("RPI_PICO_W", "Raspberry Pi Pico W with RP2040", "rp2", "RPI_PICO_W"),
        ("", "Raspberry Pi Pico W with RP2040", "rp2", "Raspberry_Pi_Pico_W"),
        ("", "", "stm32", "stm32"),
        ("../..", "", "x", "board"),
        ("x" * 100, "", "x", "x" * 32),
    ],
)
def test_name_of_a_board_fits_a_repository(build, machine, platform, name):
    assert probe.board_name(build, machine, platform) == name
