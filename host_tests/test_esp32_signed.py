# SPDX-License-Identifier: MIT
"""Images signed for secure boot version 2 by Espressif's own tool: the signature travels along."""

import subprocess
import sys

import pytest

from mpota import esp32
from mpota.errors import MpotaError
from sim import image, table
from sim.chip import Board
from sim.flash import Flash


def espsecure(*arguments):
    subprocess.run(
        [sys.executable, "-m", "espsecure", *arguments], check=True, capture_output=True
    )


@pytest.fixture(scope="module", params=["rsa3072", "ecdsa256"])
def signed(request, tmp_path_factory):
    """(image as built, image as signed, path of the signed one, path of the key)."""
    folder = tmp_path_factory.mktemp("signed")
    key, plain, out = folder / "key.pem", folder / "plain.bin", folder / "signed.bin"
    plain.write_bytes(image.build("esp32c3", length=9216))
    espsecure("generate-signing-key", "--version", "2", "--scheme", request.param, key)
    espsecure("sign-data", "--version", "2", "--keyfile", key, "--output", out, plain)
    return plain.read_bytes(), out.read_bytes(), out, key


def test_a_release_has_all_that_was_signed(signed, tmp_path):
    plain, whole, path, key = signed
    found, _ = esp32.read_image(path)
    assert found.data == whole
    assert len(whole) == 12288 + 4096  # image, filled up to a sector; signatures
    assert found.identity == image.identity(plain)
    (tmp_path / "released.bin").write_bytes(found.data)
    espsecure("verify-signature", "--version", "2", "--keyfile", key, tmp_path / "released.bin")


def test_it_may_be_followed_by_filling_only(signed, tmp_path):
    _, whole, _, _ = signed
    assert esp32.parse_image(whole + b"\xff" * 5000, tmp_path).data == whole
    for more in (whole + b"x", whole[:-1] + b"x" + whole[-4096:]):
        with pytest.raises(MpotaError, match="other data follow"):
            esp32.parse_image(more, tmp_path)


@pytest.mark.parametrize("at", [9216, 12287, 12288, 12288 + 4, 12288 + 1000, 12288 + 1197])
def test_a_damaged_signature_is_no_signature(signed, tmp_path, at):
    data = bytearray(signed[1])
    data[at] ^= 1
    with pytest.raises(MpotaError, match="other data follow"):
        esp32.parse_image(bytes(data), tmp_path)


def test_the_device_reads_the_same_identity(signed):
    plain, whole, _, _ = signed
    board = Board(Flash(table.SMALL_SIZE), chip="esp32c3")
    board.format(table.SMALL, image.build("esp32c3"))
    with board:
        from ota_esp32 import Boot

        board.power_on()
        board.put("ota_1", whole)
        boot = Boot()
        boot.check_image(whole[:4096], len(whole))
        assert boot.identity(boot.spare) == image.identity(plain)
        boot.try_next(boot.spare)
        assert boot.switch_pending
