# SPDX-License-Identifier: MIT
"""mpota: makes, signs and publishes releases for devices that run `ota`.

Layers, each importing only those above it:

    errors names files     words, limits, one-line failures, writes that survive a cut
    keys esp32 rp2040      private keys; what an image says about itself
    mpycross library app   what a folder becomes on a device: an application with its library
    workspace repository   the working folder; the TUF metadata in it
    setup release rollout settings refresh publish provision devtls serve sources verify
                           one module for each thing that is done: plain functions that take values
                           and return facts, and never print, prompt or exit
    commands/              one thin module for each verb: arguments in, text or JSON out
    cli clidoc             the table of verbs, and docs/CLI.md made from it

python-tuf and securesystemslib do TUF and signing; there is no second TUF in here.
"""
