# SPDX-License-Identifier: MIT
"""One module for each verb: its arguments, and what to say about what was done.

The module docstring is the help; EXAMPLE is run by a test. `add_arguments(parser)` declares,
`run(args)` calls the function that does the work and shows its result. Modules that take time to
import are imported in `run`, so that `mpota --help` is quick.
"""
