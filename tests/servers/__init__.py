"""Local servers that speak the protocols of the astronomical services, and fail in every way those do.

Each module holds one protocol; all are started as context managers on a free port of 127.0.0.1::

    with TapServer([gaia], sync_cap=50_000) as server:
        loader.fetch(server.url)
        server.fail("reset_mid_body")           # the next answer breaks off
        server.fail("http_503", times=None)     # all answers, until server.heal()
        assert server.requests[-1].first("MAXREC") == "50000"
"""
