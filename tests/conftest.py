"""Fixtures every test may use: the lane it runs in, and the URL of an empty database there."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests import servers

# A machine that was held up says nothing of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(params=servers.selected())
def lane(request: pytest.FixtureRequest) -> str:
    """Run the test once per selected lane; the name of this one."""
    if reason := servers.missing(request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def url(lane: str) -> str:
    """The URL of an empty database that this test has for itself."""
    return servers.fresh_url(lane)


@pytest.fixture
def real_url() -> str:
    """Like `url`, on a real server in every case: for what memory:// cannot show."""
    return servers.fresh_url(next((lane for lane in servers.selected() if lane != "memory"), "redis"))
