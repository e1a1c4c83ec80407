"""Every network of the registry at its true size, built without memory: parameters against the published number."""

import pytest
import torch

from tests.large.architectures import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_as_many_as_published(name):
    network = NETWORKS[name]
    with torch.device("meta"):
        module = network.build()
    assert network.parameters(module) == pytest.approx(network.published, abs=network.to)
