"""What several test files share."""

import pytest

from examples.efficientnet import cpp_program


@pytest.fixture(scope="session")
def cpp_programs(tmp_path_factory):
    """The folder of the programs of examples/cpp, which take long to compile."""
    return cpp_program.build(tmp_path_factory.mktemp("cpp")).parent
