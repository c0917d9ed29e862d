# SPDX-License-Identifier: MIT
"""The C verifier in a process of its own: sanitizers, other compilers' flags, and a fuzzer."""
