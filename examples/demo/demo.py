# SPDX-License-Identifier: MIT
"""The whole life of an update, on real MicroPython, with a power cut and attacks on the way.

    make demo

A repository and a development CA are made with `mpota`; a simulated ESP32 (its bootloader,
partitions and flash; real MicroPython runs on it) is provisioned and left to itself. The server is
`mpota publish --serve`. Nothing is scripted: every line that is marked with a tick was read from
the device's console or from its flash, and the demo exits 1 at the first that is not as told.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(REPO / "host_tests")]

from sim import image, table  # noqa: E402
from sim.chip import VALID, Board  # noqa: E402
from sim.flash import Flash  # noqa: E402
from sim.supervisor import DeviceError, Outcome, Supervisor  # noqa: E402

LENGTH = 640 * 1024  # of an image
TRIAL_S = 4  # of the configuration: how long a trial may take before the watchdog ends it
WAIT_S = 60  # for a line of the device's console

# release.py of each image: what the release does when it runs.
RELEASES = {
    "1.0.0": "HEALTHY = True",
    "2.0.0": "HEALTHY = True",
    "3.0.0": "import a_module_that_is_not_there",
    "4.0.0": "HEALTHY = False",
    "5.0.0": "HEALTHY = True",
}


class Failed(Exception):
    """A step did not happen as told."""


class Show:
    """Says what happens, for people."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._bar = False
        self._percent = -1
        self._on = sys.stdout.isatty()

    def title(self, text: str) -> None:
        self._end_bar()
        print(f"\n\033[1m{text}\033[0m" if self._on else f"\n== {text}", flush=True)

    def command(self, words: list[str]) -> None:
        self._end_bar()
        print("   $ " + " ".join(words), flush=True)

    def tick(self, text: str) -> None:
        self._end_bar()
        print(f"   \033[32m✓\033[0m {text}" if self._on else f"   ok: {text}", flush=True)

    def device(self, line: str) -> None:
        words = line.split()
        if words and words[0] == "downloading":
            percent = int(words[1])
            self._bar = True
            if self._on:
                full = percent * 40 // 100
                print(f"\r   [{'█' * full}{' ' * (40 - full)}] {percent} %", end="", flush=True)
            elif percent % 25 == 0 and percent != self._percent:
                print(f"     device: {line}", flush=True)
            self._percent = percent
            return
        self._end_bar()
        print(f"     device: {line}", flush=True)

    def _end_bar(self) -> None:
        if self._bar and self._on:
            print()
        self._bar = False


class Server:
    """`mpota publish --serve`, as a process."""

    def __init__(self, words: list[str], port: int, log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*words, "--port", str(port)], stdout=output, stderr=output, cwd=log.parent
            )
        for _ in range(200):
            if self._process.poll() is not None:
                raise Failed(f"the server ended; see {log}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise Failed("the server does not answer")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Demo:
    def __init__(self, folder: Path, micropython: Path, show: Show) -> None:
        self.folder = folder
        self.micropython = micropython
        self.show = show
        self.flash = folder / "flash.bin"
        self.mpota = str(Path(sys.executable).with_name("mpota"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.server: Server | None = None

    def run(self) -> None:
        try:
            self.prepare()
            self.serve()
            self.update_with_power_cut()
            self.crash_at_import()
            self.unhealthy()
            self.lies()
            self.honest_again()
        finally:
            if self.server:
                self.server.stop()

    # The steps

    def prepare(self) -> None:
        self.show.title("An owner makes keys, a server starts, and a board learns whom to trust")
        self.call("init", "--product", "thermo", "--board", "devkit", "--chip", "esp32",
                  "--slot-size", "1536K", "--no-passphrase")  # fmt: skip
        device = self.folder / "device"
        device.mkdir()
        self.start_server()
        self.call("provision", "device", "--url", f"https://127.0.0.1:{self.port}/",
                  "--ca", "ota-repo/tls/ca.pem", "--trial", str(TRIAL_S))  # fmt: skip
        board = Board(Flash(4 << 20, str(self.flash)))
        board.format(table.OTA_4M_VFS, self.build("1.0.0"))
        load = [self.micropython, HERE / "load.py", REPO / "host_tests", self.flash, device]
        subprocess.run([str(word) for word in load], check=True)
        self.device = Supervisor(
            self.flash, micropython=self.micropython, on_line=self.show.device
        )
        self.expect_runs("1.0.0", slot="ota_0")

    def serve(self) -> None:
        self.show.title("Version 1.0.0 runs; nothing is published yet")
        outcome = self.until("not offered")
        self.check("application 1.0.0" in outcome.console, "1.0.0 runs and checks for updates")

    def update_with_power_cut(self) -> None:
        self.show.title("Version 2.0.0 is released; the power fails in the middle of a write")
        self.release("2.0.0")
        cut = self.life(cut=230, tear="bits")
        self.check(cut.kind == "cut", "power failed in a flash operation, which was torn")
        before = self.progress(cut)
        self.check(0 < before[-1] < 100, f"{before[-1]} % of it had arrived")
        self.expect_runs("1.0.0", slot="ota_0")
        self.show.title("Power is back: the device goes on where it was")
        outcome = self.life()
        after = self.progress(outcome)
        self.check(after[0] >= before[-1], f"it went on at {after[0]} %")
        self.check(outcome.kind == "reset", "complete, checked, and switched to the new slot")
        outcome = self.until("up to date")
        self.check("application 2.0.0" in outcome.console, "2.0.0 ran on trial and was healthy")
        self.expect_runs("2.0.0", slot="ota_1")
        self.expect_confirmed()

    def crash_at_import(self) -> None:
        self.show.title("Version 3.0.0 crashes at import: the watchdog ends each of three trials")
        self.release("3.0.0")
        ends = []
        for _ in range(12):
            outcome = self.life(kill_when=contains("not offered"))
            ends.append(outcome.kind)
            if outcome.kind == "killed":
                break
        self.check(ends.count("watchdog") == 3, "three trials ended by the watchdog")
        self.check("ended without a word" in outcome.console, "2.0.0 knows that 3.0.0 failed")
        self.check("tried without success" in outcome.console, "and does not try it again")
        self.expect_runs("2.0.0", slot="ota_1")

    def unhealthy(self) -> None:
        self.show.title("Version 4.0.0 runs, but its health check says no")
        self.release("4.0.0")
        outcome = self.life()
        self.check(outcome.kind == "reset", "installed")
        outcome = self.life()
        self.check("not healthy: going back" in outcome.console, "4.0.0 gave itself up")
        outcome = self.until("rejected by this device")
        self.check("application 2.0.0" in outcome.console, "back on 2.0.0 after one reset")
        self.expect_runs("2.0.0", slot="ota_1")

    def lies(self) -> None:
        public = self.folder / "public"
        yesterday = self.folder / "yesterday"
        shutil.copytree(public, yesterday)
        self.release("5.0.0")
        self.until_seen("5.0.0")

        self.show.title("An attacker on the server: yesterday's metadata")
        honest = self.folder / "honest"
        public.rename(honest)
        yesterday.rename(public)
        self.until("TrustError: rollback")
        self.check(True, "old metadata is refused")
        public.rename(yesterday)
        honest.rename(public)

        self.show.title("An attacker on the server: no delta, and one flipped bit in the image")
        images = public.glob("targets/**/*.firmware.bin")
        newest = max(images, key=lambda path: path.stat().st_ctime)
        content = newest.read_bytes()
        newest.write_bytes(content[:300000] + bytes([content[300000] ^ 1]) + content[300001:])
        packs = {path: path.read_bytes() for path in newest.parent.glob("*.pack")}
        for path in packs:
            path.unlink()
        self.until("ImageError: block is not what was signed 73")
        self.check(True, "the block is refused before its flash is touched")
        self.expect_runs("2.0.0", slot="ota_1")

        self.show.title("An attacker on the network: another certificate")
        self.stop_server()
        self.start_server(tls_of="attacker")
        self.until("FetchError: certificate")
        self.check(True, "the server is refused")
        self.stop_server()
        for path, whole in {newest: content, **packs}.items():
            path.write_bytes(whole)

    def honest_again(self) -> None:
        self.show.title("The honest server is back: 5.0.0 arrives, without anybody's help")
        self.start_server()
        outcome = self.until("up to date")
        self.check("application 5.0.0" in outcome.console, "5.0.0 ran on trial and was healthy")
        self.expect_runs("5.0.0", slot="ota_0")
        self.expect_confirmed()

    # What the steps are made of

    def build(self, version: str) -> bytes:
        modules = {
            "main.py": (HERE / "app.py").read_text(),
            "release.py": f'VERSION = "{version}"\n{RELEASES[version]}\n',
        }
        return image.build(modules=modules, version=version, length=LENGTH)

    def release(self, version: str) -> None:
        file = self.folder / f"micropython-{version}.bin"
        file.write_bytes(self.build(version))
        self.call("release", file.name, "--version", version)
        self.call("publish", "public")

    def call(self, *words: str) -> None:
        self.show.command(["mpota", *words])
        done = subprocess.run(
            [self.mpota, *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"mpota {words[0]}: {done.stderr.strip()}")

    def start_server(self, tls_of: str = "") -> None:
        words = [self.mpota, "publish", "public", "--serve", "--host", "127.0.0.1"]
        if tls_of:
            # Another owner's certificate, made by the same tool.
            init = [self.mpota, "init", "--repo", tls_of, "--no-passphrase"]
            subprocess.run(init, check=True, capture_output=True, cwd=self.folder)
            make = [self.mpota, "publish", f"{tls_of}/public", "--repo", tls_of, "--serve"]
            Server([*make, "--host", "127.0.0.1"], self.port, self.folder / "server.log").stop()
            words += ["--cert", f"{tls_of}/tls/server.pem", "--key", f"{tls_of}/tls/server.key"]
        self.show.command(["mpota", *words[1:]])
        self.server = Server(words, self.port, self.folder / "server.log")

    def stop_server(self) -> None:
        if self.server:
            self.server.stop()
            self.server = None

    def life(self, **how: Any) -> Outcome:
        """Let the device live once, to the end of this life."""
        try:
            return self.device.boot(timeout=WAIT_S, **how)
        except DeviceError as error:
            raise Failed(f"this life should have come to an end: {error}") from None

    def until(self, text: str) -> Outcome:
        """Let the device live until its console says `text`; then switch it off."""
        try:
            outcome = self.device.run(until=contains(text), timeout=WAIT_S)
        except DeviceError:
            raise Failed(f"device says: {text}") from None
        self.check(text in outcome.console, f"device says: {text}")
        return outcome

    def until_seen(self, version: str) -> None:
        """Let the device accept a release's metadata, and cut the power at its first block."""
        self.until("downloading")
        self.check(True, f"the device has seen {version}, and lost its power")

    def progress(self, outcome: Outcome) -> list[int]:
        found = [int(line.split()[1]) for line in outcome.lines if line.startswith("downloading")]
        if not found:
            raise Failed("nothing was downloaded:\n" + outcome.console)
        return found

    def expect_runs(self, version: str, slot: str) -> None:
        """Let the bootloader choose on a copy of the flash."""
        board = self.copy()
        frozen = image.frozen(board.flash.read, board.running[2])
        runs = f'VERSION = "{version}"'.encode() in frozen["release.py"]
        self.check(runs and board.running[4] == slot, f"flash: {version} boots, from {slot}")

    def expect_confirmed(self) -> None:
        board = self.copy()
        states = [entry[1] for entry in board.otadata() if entry]
        self.check(VALID in states and board.boot_partition() == board.running, "and is confirmed")

    def copy(self) -> Board:
        content = self.flash.read_bytes()
        flash = Flash(len(content))
        flash.write(0, content)
        board = Board(flash)
        board.power_on()
        return board

    def check(self, as_told: bool, text: str) -> None:
        if not as_told:
            raise Failed(text)
        self.show.tick(text)


def contains(text: str) -> Callable[[str], bool]:
    return lambda line: text in line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPO / "build" / "demo")
    parser.add_argument(
        "--micropython",
        type=Path,
        default=Path(os.environ.get("MICROPYTHON") or REPO / "build" / "bin" / "micropython"),
    )
    args = parser.parse_args()
    if args.folder.exists():
        shutil.rmtree(args.folder)
    args.folder.mkdir(parents=True)
    show = Show()
    start = time.monotonic()
    try:
        Demo(args.folder, args.micropython, show).run()
    except Failed as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    show.title(f"All of it happened, in {time.monotonic() - start:.0f} seconds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
