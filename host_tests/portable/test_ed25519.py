# SPDX-License-Identifier: MIT
"""The pure-Python Ed25519 verifier and SHA-512, as the device runs them."""

import unittest

from ota.trust.ed25519 import Verifier, _decode, verify
from ota.trust.sha512 import Sha512, sha512
from vectors import ed25519_known
from vectors.ed25519_known import RFC_8032, SPECCHECK

KEY, SIGNATURE, MESSAGE = (bytes.fromhex(text) for text in RFC_8032[2])
L = (1 << 252) + 27742317777372353535851937790883648493
P = (1 << 255) - 19
EDGES = ed25519_known.__file__.replace("known.py", "edge.txt")


def hex_of(data):
    return "".join("%02x" % byte for byte in data)


def flipped(data, bit):
    data = bytearray(data)
    data[bit >> 3] ^= 1 << (bit & 7)
    return bytes(data)


class KnownAnswers(unittest.TestCase):
    def test_rfc_8032(self):
        for key, signature, message in RFC_8032:
            message = bytes.fromhex(message)
            self.assertTrue(verify(bytes.fromhex(key), message, bytes.fromhex(signature)))

    def test_speccheck(self):
        verdict = ""
        for key, signature, message in SPECCHECK:
            message = bytes.fromhex(message)
            good = verify(bytes.fromhex(key), message, bytes.fromhex(signature))
            verdict += "V" if good else "X"
        self.assertEqual(verdict, "XXXVXXXXXXXX")


class Strictness(unittest.TestCase):
    def test_edge_cases(self):
        good = bad = 0
        with open(EDGES) as lines:
            for line in lines:
                if not line.startswith("#"):
                    *data, verdict, name = line.split(" ", 4)
                    got = verify(*(bytes.fromhex(part) for part in data))
                    self.assertEqual((name, "good" if got else "bad"), (name, verdict))
                    good += got
                    bad += not got
        self.assertEqual((good, bad), (82, 134))

    def test_s_at_its_limits(self):
        for s in (0, 1, L - 1, L, L + 1, (1 << 256) - 1):
            signature = SIGNATURE[:32] + s.to_bytes(32, "little")
            self.assertFalse(verify(KEY, MESSAGE, signature))

    def test_key_must_be_canonical(self):
        for y in range(19):
            self.assertIsNone(_decode(P + y))
            self.assertIsNone(_decode(P + y | 1 << 255))
        # The same points in the encoding that counts, so the loop above can fail.
        found = [y for y in range(19) if _decode(y) is not None]
        self.assertEqual(found, [0, 1, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18])

    def test_key_must_be_on_the_curve(self):
        key = bytes([2] + [0] * 31)
        self.assertFalse(verify(key, MESSAGE, SIGNATURE))

    def test_one_flipped_bit_in_every_byte(self):
        for byte in range(32):
            bit = byte * 8 + byte % 8
            self.assertFalse(verify(flipped(KEY, bit), MESSAGE, SIGNATURE))
        for byte in range(64):
            bit = byte * 8 + byte % 8
            self.assertFalse(verify(KEY, MESSAGE, flipped(SIGNATURE, bit)))
        for bit in range(len(MESSAGE) * 8):
            self.assertFalse(verify(KEY, flipped(MESSAGE, bit), SIGNATURE))


class Use(unittest.TestCase):
    def test_lengths_of_key_and_signature(self):
        for key, signature in (
            (b"", SIGNATURE),
            (KEY[:31], SIGNATURE),
            (KEY + b"\0", SIGNATURE),
            (KEY, b""),
            (KEY, SIGNATURE[:63]),
            (KEY, SIGNATURE + b"\0"),
        ):
            with self.assertRaises(ValueError):
                Verifier(key, signature)

    def test_types_of_key_and_signature(self):
        for wrong in (32, 64, None, [0] * 32, [0] * 64):
            with self.assertRaises(TypeError):
                Verifier(wrong, SIGNATURE)
            with self.assertRaises(TypeError):
                Verifier(KEY, wrong)

    def test_any_buffer_will_do_and_may_be_reused(self):
        key = bytearray(KEY)
        signature = bytearray(SIGNATURE)
        message = bytearray(MESSAGE)
        verifier = Verifier(memoryview(key), memoryview(signature))
        verifier.update(memoryview(message))
        key[0] ^= 1
        signature[0] ^= 1
        signature[63] ^= 1
        message[0] ^= 1
        self.assertTrue(verifier.ok())

    def test_ok_answers_once(self):
        verifier = Verifier(KEY, SIGNATURE)
        verifier.update(MESSAGE)
        self.assertIs(verifier.ok(), True)
        self.assertRaises(ValueError, verifier.ok)
        self.assertRaises(ValueError, verifier.update, b"")

    def test_ok_answers_once_when_bad(self):
        verifier = Verifier(bytes(32), SIGNATURE)
        self.assertIs(verifier.ok(), False)
        self.assertRaises(ValueError, verifier.ok)

    def test_message_in_pieces(self):
        key, signature, message = (bytes.fromhex(text) for text in RFC_8032[3])
        for step in (1, 63, 64, 65, 127, 128, 129, 1000):
            verifier = Verifier(key, signature)
            for start in range(0, len(message), step):
                verifier.update(memoryview(message)[start : start + step])
            self.assertTrue(verifier.ok())


class Hash(unittest.TestCase):
    def test_known_answer(self):
        # FIPS 180-4 examples: one block, two blocks.
        for hash_class in (Sha512, sha512):
            self.assertEqual(hex_of(hash_class(b"abc").digest()), RFC_8032[4][2])
            message = bytes((97 + i + j) for i in range(14) for j in range(8))
            self.assertEqual(
                hex_of(hash_class(message).digest()),
                "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
                "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
            )

    def test_every_split_gives_the_same(self):
        message = bytes(i & 255 for i in range(300))
        whole = Sha512(message).digest()
        for cut in range(301):
            pieces = Sha512(memoryview(message)[:cut])
            pieces.update(memoryview(message)[cut:])
            self.assertEqual(pieces.digest(), whole)

    def test_every_length_of_padding(self):
        # A digest of the digests of 0 to 256 zero bytes, made with CPython's hashlib.
        total = Sha512()
        for length in range(257):
            total.update(Sha512(bytes(length)).digest())
        self.assertEqual(
            hex_of(total.digest()),
            "96c4de5b15093fdebadd15466bb0ecf75fd84fba735cadb34c757376ea2293ba"
            "5d0a7f13f47440269231c30782e39bc3b4bcf8c5bc016a1b0e52a8139e0d798a",
        )


if __name__ == "__main__":
    unittest.main()
