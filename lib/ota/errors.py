# SPDX-License-Identifier: MIT
"""What can go wrong: one class for each different reaction of a caller.

    OtaError
      TrustError      this check is over; report it, try again at the next one
        ExpiredError  signed metadata is past its date: refresh the repository, look at the clock
        ClockError    the device's clock contradicts what is certain: set it, then try again
      FetchError      network or server; try later (`status`: HTTP status, or None)
      ImageError      bytes that are not the signed image, or an image that cannot run here
      SlotError       flash does not hold what was written; stop
      StoreError      the file system refused (full, read-only, broken): free space, then try again
      StateError      not allowed now, e.g. an install while the running image is on trial

The first argument is a constant text, the others are the facts. No secret and no unverified remote
text is ever among them. A programming mistake stays ValueError or TypeError and is not caught.
"""


class OtaError(Exception):
    pass


class TrustError(OtaError):
    pass


class ExpiredError(TrustError):
    pass


class ClockError(TrustError):
    pass


class FetchError(OtaError):
    status = None

    def __init__(self, *args, status=None):
        super().__init__(*args)
        if status is not None:
            self.status = status


class ImageError(OtaError):
    pass


class SlotError(OtaError):
    pass


class StoreError(OtaError):
    pass


class StateError(OtaError):
    pass
