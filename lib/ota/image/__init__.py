# SPDX-License-Identifier: MIT
"""Pure code over the Slot port: what an image is made of and in which order it is written."""
