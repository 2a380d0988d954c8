"""Datasets: `load` turns a name, a path, an array or a tensor into a `Dataset`.

A dataset is split once and for all into training and held-out samples, keeps bytes as bytes until a batch is
gathered, and has a fingerprint of its data, so that a resumed run can refuse data that changed. A dataset
larger than the memory budget is written as shards, once, and memory-mapped (`write_shards`).
"""

from wgan.data.arrays import from_array, from_file, read_arrays
from wgan.data.builtin import (
    FASHION_MNIST,
    MNIST,
    IdxFiles,
    digits,
    fashion_mnist,
    find_idx_files,
    load_idx,
    mnist,
)
from wgan.data.dataset import Dataset, Split, even_indices, hold_out
from wgan.data.loading import DATASETS, DataSource, load, reader_of, reload_dataset
from wgan.data.noto_emoji import emoji
from wgan.data.sharding import write_shards
from wgan.data.shards import verify_shards
from wgan.data.toy_distribution import ToyDistribution
from wgan.data.toys import gaussian_mixture, grid25, ring8, swiss_roll, two_clusters, two_gaussians

__all__ = [
    "DATASETS",
    "FASHION_MNIST",
    "MNIST",
    "DataSource",
    "Dataset",
    "IdxFiles",
    "Split",
    "ToyDistribution",
    "digits",
    "emoji",
    "even_indices",
    "fashion_mnist",
    "find_idx_files",
    "from_array",
    "from_file",
    "gaussian_mixture",
    "grid25",
    "hold_out",
    "load",
    "load_idx",
    "mnist",
    "read_arrays",
    "reader_of",
    "reload_dataset",
    "ring8",
    "swiss_roll",
    "two_clusters",
    "two_gaussians",
    "verify_shards",
    "write_shards",
]
