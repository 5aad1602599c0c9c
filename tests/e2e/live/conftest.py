"""A JACK server for each period, shared by the tests of a session."""

from __future__ import annotations

import pytest
from jack_lab import JackServer


@pytest.fixture(scope="module", params=[256, 512])
def jack(request, tmp_path_factory):
    server = JackServer(tmp_path_factory.mktemp("jack"), request.param)
    yield server
    server.close()
