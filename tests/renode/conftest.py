"""What the tests on Renode share; without Renode they are skipped, with the reason."""

import pytest

from deploy.emulate.renode import find_renode
from deploy.errors import DeployError


@pytest.fixture(scope="session", autouse=True)
def _renode() -> str:
    try:
        return find_renode()
    except DeployError as error:
        pytest.skip(str(error))
