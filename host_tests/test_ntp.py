# SPDX-License-Identifier: MIT
"""The NTP client against a strict server, answers of real servers, and servers that lie.

Each test runs the adapter on CPython and on real MicroPython, as a client process of its own.
"""

import datetime
import json
import socket
import struct
import threading
import time

import pytest

import ntp_client

ERA_1 = 1 << 32  # seconds since 1900 at which the 32 bits of a timestamp begin again
SECRET = bytes(range(1, 9))


class Server:
    """RFC 5905 on 127.0.0.1, strict: who asks in another way than an RFC 5905 client is a failure.

    `script(answer, number)`: what to send for a good answer, the number of the question from 0
    """

    def __init__(self, script=lambda answer, number: [answer], seconds=None):
        self._script = script
        self._seconds = seconds
        self.questions = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
        self._socket.close()
        if not exc[0]:
            for question in self.questions:
                # Version 4, client; nothing else of the device is told to anybody.
                assert question[:40] == b"\x23" + bytes(39) and len(question) == 48
            assert len(set(self.questions)) == len(self.questions)

    def _serve(self):
        while not self._over.is_set():
            try:
                question, self.asker = self._socket.recvfrom(200)
            except TimeoutError:
                continue
            self.questions.append(question)
            for data in self._script(self.answer(question), len(self.questions) - 1):
                self._socket.sendto(data, self.asker)

    def answer(self, question):
        seconds = self._seconds
        if seconds is None:
            seconds = int(time.time()) + 2208988800
        seconds &= ERA_1 - 1
        return (
            struct.pack(">BBBbII4s", 0x24, 2, 0, -20, 0x1000, 0x2000, b"\x7f\0\0\1")
            + struct.pack(">II", (seconds - 60) % ERA_1, 5)
            + question[40:]
            + struct.pack(">IIII", seconds, 6, seconds, 7)
        )


@pytest.fixture(params=["cpython", "micropython", "micropython32"])
def play(request, tmp_path):
    """play(host, **job): asks; returns the results, and how often another task had its turn."""
    if request.param != "cpython":
        run = request.getfixturevalue("run_micropython")
        program = request.getfixturevalue(request.param)

    def play(host, **job):
        text = json.dumps({"host": host, **job})
        if request.param == "cpython":
            return ntp_client.main(text)
        file = tmp_path / "job.json"
        file.write_text(text)
        done = run(program, "host_tests/ntp_client.py", file, timeout=60)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return json.loads(done.stdout)

    return play


def put(answer, at, data):
    return answer[:at] + data + answer[at + len(data) :]


def test_time_of_a_good_server(play):
    with Server() as server:
        before = datetime.datetime.now(datetime.timezone.utc)
        first, second, _ = play(server.host, count=2)
        after = datetime.datetime.now(datetime.timezone.utc)
    assert len(server.questions) == 2
    for answer in (first, second):
        assert f"{before:%Y-%m-%dT%H:%M:%SZ}" <= answer["utc"] <= f"{after:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("seconds", "utc"),
    [
        (ERA_1 // 2, "1968-01-20T03:14:08Z"),
        (ERA_1 - 1, "2036-02-07T06:28:15Z"),
        (ERA_1, "2036-02-07T06:28:16Z"),
        (ERA_1 + 7, "2036-02-07T06:28:23Z"),
        (ERA_1 + ERA_1 // 2 - 1, "2104-02-26T09:42:23Z"),
    ],
)
def test_both_eras(play, seconds, utc):
    with Server(seconds=seconds) as server:
        assert play(server.host)[0] == {"utc": utc}


# What real servers sent to a question whose transmit timestamp was 01 02 … 08.
RECORDED = [
    # chrony 4.3 with `local stratum 5`, and the same under a clock that was set to 2040
    ("240500e600000000000000007f7f0101eeadfeb2e48d0d370102030405060708eeadfeb4345ff63deeadfeb43467f114",
     {"utc": "2026-11-22T23:52:20Z"}),
    ("240500e800000000000000007f7f010107fb7e59e0b04da5010203040506070807fb7e5b9e322fdb07fb7e5b9e35258e",
     {"utc": "2040-05-06T07:08:11Z"}),
    # chrony 4.3 and ntpsec 1.2.2 before they had a time themselves
    ("e40000e600010000000100000000000000000000000000000102030405060708eeadfdfb9ae3ba03eeadfdfb9ae94328",
     {"error": "FetchError", "args": ["ntp: the server has no time", 0]}),
    ("e40000e8000000000000000e494e495400000000000000000102030405060708eeadfe3bd8f567edeeadfe3bebe302c2",
     {"error": "FetchError", "args": ["ntp: the server has no time", 0]}),
]  # fmt: skip


def test_answers_of_real_servers(play):
    with Server(lambda answer, number: [bytes.fromhex(RECORDED[number][0])]) as server:
        results = play(server.host, count=len(RECORDED), rand=SECRET.hex())
        server.questions = server.questions[:1]  # all the same: the secret is
    assert results[:-1] == [result for _, result in RECORDED]


SENSELESS = {
    "empty": (lambda a: a[:0], None),
    "too short": (lambda a: a[:47], "length"),
    "too short for the origin": (lambda a: a[:31], None),
    "with something behind it": (lambda a: a + bytes(4), "length"),
    "much too long": (lambda a: a + bytes(1400), "length"),
    "version 0": (lambda a: put(a, 0, b"\x04"), "mode or version"),
    "version 2": (lambda a: put(a, 0, b"\x14"), "mode or version"),
    "version 5": (lambda a: put(a, 0, b"\x2c"), "mode or version"),
    "of a client": (lambda a: put(a, 0, b"\x23"), "mode or version"),
    "broadcast": (lambda a: put(a, 0, b"\x25"), "mode or version"),
    "symmetric": (lambda a: put(a, 0, b"\x22"), "mode or version"),
    "control": (lambda a: put(a, 0, b"\x26"), "mode or version"),
    "leap alarm": (lambda a: put(a, 0, b"\xe4"), "the server has no time"),
    "stratum 16": (lambda a: put(a, 1, b"\x10"), "the server has no time"),
    "stratum 255": (lambda a: put(a, 1, b"\xff"), "the server has no time"),
    "kiss-o'-death RATE": (lambda a: put(put(a, 1, b"\0"), 12, b"RATE"), "the server refuses"),
    "kiss-o'-death DENY": (lambda a: put(put(a, 1, b"\0"), 12, b"DENY"), "the server refuses"),
    "root dispersion of 16 s": (lambda a: put(a, 8, b"\0\x10\0\0"), "no sense"),
    "root delay of 32 s": (lambda a: put(a, 4, b"\0\x20\0\0"), "no sense"),
    "greatest delays": (lambda a: put(a, 4, b"\xff" * 8), "no sense"),
    "no transmit timestamp": (lambda a: put(a, 40, bytes(8)), "no sense"),
    "no receive timestamp": (lambda a: put(a, 32, bytes(8)), "no sense"),
    "set after it was sent": (lambda a: put(a, 16, a[40:43] + b"\xff"), "no sense"),
    "received after it was sent": (lambda a: put(a, 32, a[40:43] + b"\xff"), "no sense"),
    "another origin": (lambda a: put(a, 24, bytes(8)), None),
    "origin but for one bit": (lambda a: put(a, 31, bytes([a[31] ^ 1])), None),
    "the question itself": (lambda a: b"\x23" + bytes(39) + a[24:32], None),
}


def test_answers_without_sense(play):
    cases = list(SENSELESS.values())
    # The last byte of the time is 0, so that one with 0xff is surely later.
    with Server(lambda a, number: [cases[number][0](a)], seconds=0xEEADFD00) as server:
        results = play(server.host, count=len(cases), timeout_s=0.15)
    for name, (_, text), result in zip(SENSELESS, cases, results, strict=False):
        expected = f"ntp: {text or 'no answer'}"
        assert (result.get("error"), result.get("args", [""])[0]) == ("FetchError", expected), name


def test_versions_3_and_4_and_leap_seconds_announced(play):
    with Server(lambda a, number: [put(a, 0, b"\x1c\x24\x64\xa4"[number : number + 1])]) as server:
        assert all("utc" in result for result in play(server.host, count=4)[:-1])


def test_guesses_of_somebody_who_cannot_see_the_question(play):
    """Forged answers before the true one neither win nor keep it from being heard."""

    def script(answer, number):
        lie = put(answer, 40, b"\x10\0\0\0")
        return [put(lie, 24, bytes([guess] * 8)) for guess in range(3)] + [b"", b"x", answer]

    with Server(script, seconds=0xEEADFDF9) as server:
        assert play(server.host)[0] == {"utc": "2026-11-22T23:49:13Z"}


def test_answer_from_another_address(play):
    """What does not come from the server that was asked is not even read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))

        def script(answer, number):
            other.sendto(answer, server.asker)
            return []

        with Server(script) as server:
            result = play(server.host, timeout_s=0.2)[0]
    assert result == {"error": "FetchError", "args": ["ntp: no answer"]}


def test_server_that_is_silent_or_absent(play):
    with Server(lambda answer, number: []) as server:
        begin = time.monotonic()
        result, turns = play(server.host, timeout_s=0.5)
        assert time.monotonic() - begin < 3
    assert result == {"error": "FetchError", "args": ["ntp: no answer"]}
    assert turns > 10  # other tasks had their turns while it waited
    result = play(server.host, timeout_s=0.5)[0]
    assert (result["error"], result["args"][0]) == ("FetchError", "ntp")
    result = play("no-such-name.invalid", timeout_s=0.5)[0]
    assert (result["error"], result["args"][0]) == ("FetchError", "ntp")


@pytest.mark.parametrize(
    ("utc", "fields"),
    [
        ("2026-11-22T23:48:57Z", [2026, 11, 22, 7, 23, 48, 57, 0]),
        ("2028-02-29T00:00:00Z", [2028, 2, 29, 2, 0, 0, 0, 0]),
        ("2036-02-07T06:28:16Z", [2036, 2, 7, 4, 6, 28, 16, 0]),
    ],
)
def test_clock_of_the_board_is_set(play, utc, fields):
    assert play("", rtc=utc) == fields
