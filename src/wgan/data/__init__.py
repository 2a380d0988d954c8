"""Where real samples come from: `load` takes a name, a path, an array or a tensor to a `Dataset`.

A source is split once and for all into samples to train on and samples held out, keeps bytes as bytes
until a batch is gathered, and knows a fingerprint of its data, so that a resumed run can refuse data that
changed. What is larger than the memory budget is packed, once, and mapped (`pack`).
"""

from wgan.data.arrays import from_array, from_file, read_arrays, refitted
from wgan.data.builtin import FASHION_MNIST, MNIST, Published, fashion_mnist, find, mnist, published
from wgan.data.dataset import Dataset, Split, evenly, hold_out, spread
from wgan.data.digits_file import digits
from wgan.data.emoji import emoji
from wgan.data.loading import SOURCES, load, reader_of
from wgan.data.reload_dataset import reload_dataset
from wgan.data.sharding import pack
from wgan.data.shards import is_pack, open_pack, verify
from wgan.data.toy_distribution import ToyDistribution
from wgan.data.toys import grid25, mixture, ring8, swiss_roll, two_gaussians

__all__ = [
    "FASHION_MNIST",
    "MNIST",
    "SOURCES",
    "Dataset",
    "Published",
    "Split",
    "ToyDistribution",
    "digits",
    "emoji",
    "evenly",
    "fashion_mnist",
    "find",
    "from_array",
    "from_file",
    "grid25",
    "hold_out",
    "is_pack",
    "load",
    "mixture",
    "mnist",
    "open_pack",
    "pack",
    "published",
    "read_arrays",
    "reader_of",
    "refitted",
    "reload_dataset",
    "ring8",
    "spread",
    "swiss_roll",
    "two_gaussians",
    "verify",
]
