# SPDX-License-Identifier: MIT
"""The arithmetic of UTC strings."""

import unittest

from ota.adapters.clock import Clock, shift


class TestShift(unittest.TestCase):
    def test_carries(self):
        for start, seconds, end in (
            ("2026-11-22T17:00:00Z", 0, "2026-11-22T17:00:00Z"),
            ("2026-11-22T23:59:59Z", 1, "2026-11-23T00:00:00Z"),
            ("2026-12-31T23:59:59Z", 2, "2027-01-01T00:00:01Z"),
            ("2028-02-28T12:00:00Z", 86400, "2028-02-29T12:00:00Z"),
            ("2100-02-28T00:00:00Z", 86400, "2100-03-01T00:00:00Z"),
            ("2000-02-28T00:00:00Z", 86400, "2000-02-29T00:00:00Z"),
            ("2026-01-01T00:00:00Z", 365 * 86400 + 3661, "2027-01-01T01:01:01Z"),
        ):
            self.assertEqual(shift(start, seconds), end)

    def test_clock_never_takes_time_back(self):
        clock = Clock()
        first = clock.later("2026-11-22T17:00:00Z")
        self.assertTrue("2026-11-22T17:00:00Z" <= first <= clock.later("2026-11-22T17:00:00Z"))

    def test_what_the_clock_claims_is_a_utc_string(self):
        self.assertEqual(shift(Clock().utc(), 0), Clock().utc())


if __name__ == "__main__":
    unittest.main()
