"""Random weights that depend on nothing but a tensor's name and shape, so that equal networks have equal files."""

import zlib

import numpy as np
import torch


def normal(name, *shape):
    """Standard normal numbers of a tensor."""
    seed = zlib.crc32(f"{name} {shape}".encode())
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def seed(network):
    """Fill a network with numbers far enough from zero that each of them shows in the output."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            numbers = normal(name, *weight.shape)
            if weight.dim() > 1:
                weight.copy_(0.12 * numbers)
            elif "norm" in name.lower() and name.endswith("weight"):
                weight.copy_(1 + 0.1 * numbers)
            else:
                weight.copy_(0.1 * numbers)
    return network
