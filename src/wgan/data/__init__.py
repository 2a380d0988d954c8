"""Where real samples come from: `load` takes a name, a path, an array or a tensor to a `Source`.

A source is split once and for all into samples to train on and samples held out, keeps bytes as bytes
until a batch is gathered, and knows a fingerprint of its data, so that a resumed run can refuse data that
changed. What is larger than the memory budget is packed, once, and mapped (`pack`).
"""

from wgan.data.again import load_again
from wgan.data.arrays import from_array, from_file, read_arrays, refitted
from wgan.data.digits import digits
from wgan.data.door import SOURCES, load, material_of
from wgan.data.emoji import emoji
from wgan.data.idx import FASHION_MNIST, MNIST, Published, fashion_mnist, find, mnist, published
from wgan.data.law import Law
from wgan.data.packing import pack
from wgan.data.packs import is_pack, open_pack, verify
from wgan.data.source import Source, Split, evenly, hold_out, spread
from wgan.data.toys import grid25, mixture, ring8, swiss_roll, two_gaussians

__all__ = [
    "FASHION_MNIST",
    "MNIST",
    "SOURCES",
    "Law",
    "Published",
    "Source",
    "Split",
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
    "load_again",
    "material_of",
    "mixture",
    "mnist",
    "open_pack",
    "pack",
    "published",
    "read_arrays",
    "refitted",
    "ring8",
    "spread",
    "swiss_roll",
    "two_gaussians",
    "verify",
]
