# SPDX-License-Identifier: MIT
"""Packs: images in small, of which any block can be had alone (SPEC 7).

encode(old, new, blocks, was=…, now=…, base=…)   in encode.py; needs numpy, so import it late
decode_block(pack, old, index, block)            in decode.py; plain
layout_of(image, chip)                           in layout.py; what encode wants to know
"""
