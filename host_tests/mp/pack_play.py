# SPDX-License-Identifier: MIT
"""Decode random packs and print a digest of what came of them: pack_play.py LOOPS FIRST LAST"""

import sys

sys.path[:0] = ["lib", "host_tests", "host_tests/portable"]

import test_pack_decoder as decoder  # noqa: E402

loops = __import__("ota.image." + sys.argv[1], None, None, ("thumb",))
decoder.use(loops)
print(decoder.play(int(sys.argv[2]), int(sys.argv[3])))
