# SPDX-License-Identifier: MIT
"""settings.json is read strictly; the record names nothing that it cannot give (ota.settings)."""

import binascii
import io
import unittest
from hashlib import sha256

from ota.errors import TrustError
from ota.settings import Settings, parse
from ram_store import PowerCut, RamStore

A = b'{"ca":"AAAA","urls":["http://a/","http://a2/"]}'
B = b'{"urls":["http://b/"]}'
C = b'{"urls":["http://c/"]}'
CA = b"\0\0\0"


class Target:
    role = "img-x"

    def __init__(self, data, seq):
        self.length = len(data)
        self.hashes = {"sha256": binascii.hexlify(sha256(data).digest()).decode()}
        self.custom = {"kind": "settings", "seq": seq}


class TestParse(unittest.TestCase):
    def test_content(self):
        self.assertEqual(parse(io.BytesIO(A)), (["http://a/", "http://a2/"], CA))
        self.assertEqual(parse(io.BytesIO(B)), (["http://b/"], None))

    def test_nonsense(self):
        for content in (
            b"",
            b"[]",
            b"{}",
            b'{"urls":[]}',
            b'{"urls":[7]}',
            b'{"urls":[""]}',
            b'{"ca":"","urls":["http://a/"]}',
            b'{"ca":"%%%","urls":["http://a/"]}',
            b'{"ca":"AAA","urls":["http://a/"]}',
            b'{"urls":["http://a/"]} 5',
            b'{"urls":["http://a/"],"ca":"AAAA"}',  # not sorted: a key could come twice
        ):
            with self.assertRaises(TrustError):
                parse(io.BytesIO(content))


class TestSettings(unittest.TestCase):
    def setUp(self):
        self.store = RamStore()

    def adopt(self, data, seq, content=None):
        settings = Settings(self.store)
        document = settings.propose(Target(data, seq), "x")
        file = self.store.create(document)
        file.write(content or data)
        file.close()
        settings.proposed()
        settings.adopt()

    def sets(self):
        return Settings(self.store).sets()

    def test_the_newest_and_those_before(self):
        self.assertEqual(self.sets(), [])
        for seq, data in enumerate((A, B, C)):
            self.assertFalse(Settings(self.store).is_adopted(Target(data, seq + 1)))
            self.adopt(data, seq + 1)
            self.assertTrue(Settings(self.store).is_adopted(Target(data, seq + 1)))
        self.assertEqual(self.sets(), [(["http://c/"], CA), (["http://b/"], CA)])

    def test_no_document_that_counts_is_overwritten(self):
        for seq in range(1, 20):
            data = A if seq % 3 == 0 else b'{"urls":["http://%d/"]}' % seq
            before = self.sets()
            document = Settings(self.store).propose(Target(data, seq), "x")
            self.store.documents[document] = bytearray(b"torn")
            self.assertEqual(self.sets(), before)
            self.adopt(data, seq)

    def test_other_bytes_than_were_signed(self):
        with self.assertRaises(TrustError):
            self.adopt(B, 1, C)
        self.assertEqual(self.sets(), [])

    def test_older_ones(self):
        self.adopt(A, 5)
        for seq in (5, 4, 0):
            with self.assertRaises(TrustError):
                Settings(self.store).propose(Target(B, seq), "x")

    def test_damage_drops_out(self):
        self.adopt(A, 1)
        self.adopt(B, 2)
        self.store.documents["s0"][:] = C  # the certificates of both
        self.assertEqual(self.sets(), [])
        self.adopt(A, 3)
        self.assertEqual(self.sets(), [(["http://a/", "http://a2/"], CA)])

    def test_cut_while_they_are_adopted(self):
        self.adopt(A, 1)
        for late in (False, True):
            self.store.cut, self.store.late = 3, late  # create, write, save
            try:
                self.adopt(B, 2)
            except PowerCut:
                pass
            self.assertEqual(len(self.sets()), 2 if late else 1)


if __name__ == "__main__":
    unittest.main()
