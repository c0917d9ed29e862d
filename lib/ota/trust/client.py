# SPDX-License-Identifier: MIT
"""A TUF client without input or output of its own: metadata in, trusted targets out.

Source: The Update Framework specification 1.0.x, section 5. The network is the driver's business;
what was accepted is kept through a `Store` (ota.ports).

    client = Client(store, root)
        store       ota.ports.Store; uses the record "trust" and the documents "m0", "m1", ...
        root        function that opens the factory root (a binary stream with readinto and close)
        schemes     signature schemes, see ota.trust.keys; default: ed25519
        root_floor  no root below this version is accepted, whatever the store has lost
        on_clock    function called with a ClockError instead of raising it (the owner may choose
                    to warn); default None: refuse
        max_length  of one document other than root and timestamp; default 256 KiB

    client.refresh(certain, now)   generator; returns True if anything new was accepted
    client.find(path)              generator; returns a Target, or None: nobody vouches for it
    client.issued                  latest x-issued of root, targets and img-* ("" if none): a floor
                                   of the time; persisted
    client.root_version            version of the trusted root (0 before the first refresh); the
                                   caller keeps it outside the file system as `root_floor`

    Target: path, length, hashes ({"sha256": hex, ...}), custom (dict or None), role (name of the
    role that vouches for it), file (where it lies below "targets/": quoted, and with the hash in
    front of the name when the repository has consistent snapshots)

Time is a UTC string "YYYY-MM-DDTHH:MM:SSZ". `certain` is a time that has surely passed (floor and
uptime), `now` the best guess (RTC, NTP); what is below a floor is raised to it. Expired by
`certain`: ExpiredError. Expired only by `now`: ClockError, or `on_clock`.

Driving a generator. It yields
    None      there was long work, let others run; send None
    Request   fetch "metadata/" + request.file and hand every byte to request.write(buf), in order;
              then send True. Send False if the repository has no such file: status 404 or 403 and
              nothing else. `write` raises TrustError when the file is longer than it may be.
Any other trouble (500, time out, lost connection): close the generator and raise. Nothing is left
half done; the next refresh() starts fresh. Errors that leave the generator close it by themselves.

    def drive(work, fetcher, buf):                     # `await` where there is an event loop
        answer = None
        try:
            while True:
                request = work.send(answer)
                answer = request and fetch_into(request.file, request.write)
        except StopIteration as end:
            return end.value
        finally:
            work.close()

find() needs a refresh() of the same Client that came to its end, and uses its times.
"""
