"""Folders and zip files of images."""

import io
import re
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from wgan import data
from wgan.data.decoding import read_image_info
from wgan.errors import InputError


def zipped(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return path


def only(tmp_path, image, suffix="png", *, resolution=4, copies=8, **options):
    """A dataset of copies of one image, and its pixels (C, H, W)."""
    folder = tmp_path / "only"
    folder.mkdir()
    for index in range(copies):
        image.save(folder / f"{index}.{suffix}", **options)
    dataset = data.load(folder, resolution=resolution)
    assert dataset.skipped == ()
    return dataset, dataset.train.storage[0].numpy()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_claimed_size(width, height):
    """A PNG whose header claims a size that its few bytes of content do not have."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class TestDecoding:
    @pytest.mark.parametrize(
        "suffix", ["png", "PNG", "bmp", "gif", "tif", "TIFF", "pgm", "webp", "tga", "pcx"]
    )
    def test_lossless_formats_keep_every_grey_pixel(self, tmp_path, noise, suffix):
        image = noise(4, 4)
        options = {"lossless": True, "exact": True} if suffix == "webp" else {}
        dataset, pixels = only(tmp_path, image, suffix, **options)
        assert dataset.shape == ((3 if suffix == "webp" else 1), 4, 4)  # WebP knows no grey.
        np.testing.assert_array_equal(pixels[0], np.asarray(image))

    @pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "Webp", "tga"])
    def test_lossless_formats_keep_every_coloured_pixel(self, tmp_path, noise, suffix):
        image = noise(4, 4, 3)
        dataset, pixels = only(tmp_path, image, suffix, **({"lossless": True} if suffix == "Webp" else {}))
        assert dataset.shape == (3, 4, 4)
        np.testing.assert_array_equal(pixels, np.asarray(image).transpose(2, 0, 1))

    @pytest.mark.parametrize("suffix", ["jpg", "JPEG", "jfif", "webp"])
    def test_lossy_formats_come_close(self, tmp_path, suffix):
        image = Image.new("RGB", (16, 16), (200, 100, 50))
        _, pixels = only(tmp_path, image, suffix, format=None if suffix != "jfif" else "JPEG", quality=95)
        assert np.abs(pixels.astype(int) - np.array([200, 100, 50])[:, None, None]).max() <= 3

    @pytest.mark.parametrize(
        ("suffix", "kind"), [("png", np.uint16), ("tiff", np.uint16), ("pgm", np.uint16)]
    )
    def test_16_bit_greys_are_scaled(self, tmp_path, suffix, kind):
        levels = np.arange(16).reshape(4, 4) * 17
        dataset, pixels = only(tmp_path, Image.fromarray((levels * 257).astype(kind)), suffix)
        assert dataset.shape == (1, 4, 4)
        np.testing.assert_array_equal(pixels[0], levels)

    @pytest.mark.parametrize("top", [1.0, 255.0])
    def test_floats_are_scaled(self, tmp_path, top):
        levels = np.arange(16).reshape(4, 4) * 17
        image = Image.fromarray((levels * (top / 255)).astype(np.float32))
        np.testing.assert_array_equal(only(tmp_path, image, "tiff")[1][0], levels)

    def test_32_bit_integers_are_scaled_as_16_bits(self, tmp_path):
        levels = np.arange(16).reshape(4, 4) * 17
        image = Image.fromarray((levels * 257).astype(np.int32))
        np.testing.assert_array_equal(only(tmp_path, image, "tiff")[1][0], levels)

    def test_one_bit(self, tmp_path):
        bits = np.eye(4, dtype=bool)
        dataset, pixels = only(tmp_path, Image.fromarray(bits))
        assert dataset.shape == (1, 4, 4)
        np.testing.assert_array_equal(pixels[0], bits * 255)

    def test_palette(self, tmp_path):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 10, 200, 30])
        dataset, pixels = only(tmp_path, image)
        assert dataset.shape == (3, 4, 4)
        assert pixels[:, 0, 0].tolist() == [10, 200, 30]

    def test_a_grey_palette_is_grey(self, tmp_path):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 90, 90, 90])
        dataset, pixels = only(tmp_path, image)
        assert dataset.shape == (1, 4, 4)
        assert (pixels == 90).all()

    @pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
    def test_a_transparent_palette_is_put_on_white(self, tmp_path, transparency):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([10, 20, 30, 1, 2, 3])
        image.putpixel((0, 0), 0)
        _, pixels = only(tmp_path, image, transparency=transparency)
        assert pixels[:, 0, 0].tolist() == [10, 20, 30]
        assert (pixels[:, 1:] == 255).all()

    @pytest.mark.parametrize(
        ("mode", "colour", "expected"),
        [
            ("RGBA", (200, 100, 0, 0), [255, 255, 255]),
            ("RGBA", (200, 100, 0, 255), [200, 100, 0]),
            ("RGBA", (200, 100, 0, 51), [244, 224, 204]),
            ("LA", (200, 51), [244]),
        ],
    )
    def test_alpha_is_put_on_white(self, tmp_path, mode, colour, expected):
        _, pixels = only(tmp_path, Image.new(mode, (4, 4), colour))
        assert pixels.shape == (len(expected), 4, 4)
        assert pixels[:, 2, 2].tolist() == expected

    def test_a_transparent_grey_level_is_put_on_white(self, tmp_path):
        image = Image.new("L", (4, 4), 7)
        image.putpixel((0, 0), 9)
        dataset, pixels = only(tmp_path, image, transparency=7)
        assert dataset.shape == (1, 4, 4)
        assert pixels[0, 0, 0] == 9
        assert pixels[0, 1, 1] == 255

    @pytest.mark.parametrize("suffix", ["jpg", "tif"])
    def test_cmyk(self, tmp_path, suffix):
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        dataset, pixels = only(tmp_path, image, suffix)
        assert dataset.shape == (3, 4, 4)
        red, green, blue = pixels[:, 2, 2].astype(int)
        assert red > 220
        assert max(green, blue) < 60

    def test_only_the_first_frame_of_an_animation(self, tmp_path):
        frames = [Image.new("L", (4, 4), level) for level in (50, 150, 250)]
        _, pixels = only(tmp_path, frames[0], "gif", save_all=True, append_images=frames[1:])
        assert (pixels == 50).all()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation_is_applied(self, tmp_path, orientation):
        upright = np.zeros((4, 4), np.uint8)
        upright[0, :] = 255  # A bright first row and ...
        upright[:, 0] = 128  # ... a grey first column fix the orientation.
        # How a camera held in each of the eight ways stores it (Exif 2.32, table 6).
        turned = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.T,
            6: np.rot90(upright, 1),
            7: upright[::-1, ::-1].T,
            8: np.rot90(upright, -1),
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        _, pixels = only(tmp_path, Image.fromarray(np.ascontiguousarray(turned)), exif=exif)
        np.testing.assert_array_equal(pixels[0], upright)

    def test_the_centre_is_kept(self, tmp_path):
        wide = np.zeros((8, 24), np.uint8)
        wide[:, 2:22] = 200  # The square and what the filter sees around it.
        assert (only(tmp_path, Image.fromarray(wide))[1] == 200).all()

    def test_shrinking_is_antialiased(self, tmp_path):
        stripes = np.zeros((64, 64), np.uint8)
        stripes[:, ::2] = 255
        _, pixels = only(tmp_path, Image.fromarray(stripes))
        assert np.abs(pixels[:, :, 1:-1].astype(int) - 127).max() < 12

    def test_enlarging_keeps_a_constant_image(self, tmp_path):
        assert (only(tmp_path, Image.new("L", (3, 2), 99), resolution=16)[1] == 99).all()


class TestShape:
    @pytest.mark.parametrize(
        ("sizes", "expected"),
        [
            ([(32, 32)] * 8, 32),
            ([(30, 30)] * 8, 64),
            ([(32, 16)] * 8, 64),
            ([(32, 32)] * 7 + [(16, 16)], 64),
        ],
    )
    def test_resolution_where_none_is_asked_for(self, tmp_path, sizes, expected):
        for index, size in enumerate(sizes):
            Image.new("L", size, index).save(tmp_path / f"{index}.png")
        assert data.load(tmp_path).shape == (1, expected, expected)

    def test_one_coloured_image_colours_the_set(self, tmp_path):
        for index in range(9):
            Image.new("RGB" if index == 5 else "L", (8, 8)).save(tmp_path / f"{index}.png")
        assert data.load(tmp_path).shape == (3, 8, 8)
        assert data.load(tmp_path, channels=1).shape == (1, 8, 8)

    def test_grey_images_in_three_channels(self, tmp_path):
        for index in range(9):
            Image.new("L", (8, 8), index).save(tmp_path / f"{index}.png")
        storage = data.load(tmp_path, channels=3).train.storage
        assert torch.equal(storage[:, 0, 0, 0], torch.arange(9).to(torch.uint8))
        assert torch.equal(storage[:, 0], storage[:, 1])


class TestLabels:
    def fill(self, folder, names):
        for index, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), index).save(path)
        return folder

    def labels(self, dataset):
        """The label of each image by its grey level, which is its index."""
        levels = dataset.train.storage[:, 0, 0, 0].tolist()
        return [label for _, label in sorted(zip(levels, dataset.train.labels.tolist(), strict=True))]

    def test_are_first_level_folders(self, tmp_path):
        names = [
            f"{kind}/{deep}{index}.png"
            for kind in ("dog", "cat")
            for deep in ("", "x/")
            for index in range(3)
        ]
        dataset = data.load(self.fill(tmp_path, names))
        assert dataset.classes == ("cat", "dog")
        assert self.labels(dataset) == [1] * 6 + [0] * 6
        assert data.load(zipped(tmp_path, tmp_path / "a.zip")).fingerprint == dataset.fingerprint

    def test_folders_all_have_in_common_are_no_class(self, tmp_path):
        names = [f"set/images/{kind}/{index}.png" for kind in "ba" for index in range(5)]
        dataset = data.load(self.fill(tmp_path, names))
        assert dataset.classes == ("a", "b")
        assert self.labels(dataset) == [1] * 5 + [0] * 5

    @pytest.mark.parametrize(
        "names",
        [
            [f"{index}.png" for index in range(9)],
            [f"one/{index}.png" for index in range(9)],
            [f"a/{index}.png" for index in range(9)] + ["top.png"],
        ],
        ids=["flat", "one folder", "mixed"],
    )
    def test_are_none_without_class_folders(self, tmp_path, names):
        dataset = data.load(self.fill(tmp_path, names))
        assert dataset.classes is None
        assert dataset.train.labels is None

    def test_stay_with_their_images_when_one_is_skipped(self, tmp_path):
        names = [f"{kind}/{index}.png" for kind in "abc" for index in range(4)]
        self.fill(tmp_path, names)
        (tmp_path / "b" / "0.png").write_bytes(b"")
        dataset = data.load(tmp_path)
        assert dataset.skipped == ("b/0.png",)
        assert self.labels(dataset) == [0] * 4 + [1] * 3 + [2] * 4


class TestListing:
    def test_hidden_files_and_others_are_passed_over(self, folder):
        expected = data.load(folder).fingerprint
        for name in (".hidden.png", "._0.png", "notes.txt", "Thumbs.db", "noext"):
            (folder / name).write_bytes(b"x")
        for name in (".git", "__MACOSX"):
            (folder / name).mkdir()
            (folder / name / "a.png").write_bytes(b"x")
        (folder / "directory.png").mkdir()
        assert data.load(folder).fingerprint == expected
        assert data.load(folder).skipped == ()
        assert data.load(zipped(folder, folder / "a.zip")).fingerprint == expected

    def test_order_does_not_depend_on_when_files_were_made(self, folder, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        for file in sorted(folder.iterdir(), reverse=True):
            (other / file.name).write_bytes(file.read_bytes())
        assert data.load(other).fingerprint == data.load(folder).fingerprint

    def test_a_changed_pixel_changes_the_fingerprint(self, folder):
        before = data.load(folder).fingerprint
        image = Image.open(folder / "03.png")
        image.putpixel((5, 5), tuple(value ^ 1 for value in image.getpixel((5, 5))))
        image.save(folder / "03.png")
        assert data.load(folder).fingerprint != before

    def test_links_are_followed_but_not_in_a_circle(self, folder, tmp_path):
        expected = data.load(folder).fingerprint
        (folder / "circle").symlink_to(folder)
        assert data.load(folder).fingerprint == expected
        (tmp_path / "link").symlink_to(folder)
        assert data.load(tmp_path / "link").fingerprint == expected

    def test_a_zip_is_never_unpacked(self, folder, tmp_path):
        evil = tmp_path / "deep" / "evil.zip"
        evil.parent.mkdir()
        with zipfile.ZipFile(evil, "w") as archive:
            for index, file in enumerate(sorted(folder.iterdir())):
                archive.writestr(f"../escaped{index:02}.png", file.read_bytes())
            archive.writestr("/absolute.png", (folder / "00.png").read_bytes())
        before = sorted(tmp_path.rglob("*"))
        dataset = data.load(evil)
        assert len(dataset.train.storage) == 21
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_zip_methods(self, folder, tmp_path, method):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
        assert data.load(tmp_path / "a.zip").fingerprint == data.load(folder).fingerprint


def _cut(content):
    return content[: len(content) * 2 // 3]


CORRUPT = {
    "empty": lambda _: b"",
    "text": lambda _: b"This is no image.",
    "cut": _cut,
    "cut in its header": lambda content: content[:20],
    "script": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "wrong checksum": lambda content: content.replace(b"IDAT", b"IDAX"),
    "claims more": lambda _: png_of_claimed_size(300, 300),
    "no size": lambda _: png_of_claimed_size(0, 0),
}


@pytest.mark.parametrize("case", CORRUPT)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_corrupt_image_among_good_ones_is_skipped_and_named(folder, tmp_path, case, kind):
    path = folder / "07.png"
    good = [file for file in sorted(folder.iterdir()) if file != path]
    path.write_bytes(CORRUPT[case](path.read_bytes()))
    dataset = data.load(folder if kind == "folder" else zipped(folder, tmp_path / "a.zip"), resolution=16)
    assert dataset.skipped == ("07.png",)
    assert len(dataset.train) + len(dataset.held_out) == 19
    expected = np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in good])
    np.testing.assert_array_equal(dataset.train.storage.numpy(), expected)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "webp", "tif", "bmp", "ppm"])
def test_other_formats_cut_short_are_skipped_too(folder, noise, suffix):
    content = io.BytesIO()
    noise(64, 64, 3).save(content, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    (folder / f"cut.{suffix}").write_bytes(_cut(content.getvalue()))
    assert data.load(folder, resolution=16).skipped == (f"cut.{suffix}",)


def test_postscript_is_never_opened(noise):
    content = io.BytesIO()
    noise(9, 9, 3).save(content, "eps")
    content.seek(0)
    with pytest.raises(UnidentifiedImageError):  # Pillow alone would open it, and call Ghostscript.
        read_image_info(content)


def test_a_broken_link_is_skipped_and_named(folder):
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    assert data.load(folder).skipped == ("gone.png",)


def test_a_damaged_zip_member_is_skipped_and_named(folder, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
        start = archive.getinfo("05.png").header_offset
    content = bytearray(path.read_bytes())
    content[start + 200] ^= 0xFF
    path.write_bytes(content)
    assert data.load(path).skipped == ("05.png",)


@pytest.mark.parametrize(
    ("total", "bad", "accepted"), [(20, 2, False), (150, 1, True), (250, 2, True), (250, 3, False)]
)
@pytest.mark.parametrize("header", [True, False], ids=["no header", "cut body"])
def test_more_than_one_in_a_hundred_is_refused(tmp_path, total, bad, accepted, header):
    for index in range(total):
        body = bytes(12) if index >= bad else bytes(3)
        (tmp_path / f"{index:03}.ppm").write_bytes(
            (b"" if header and index < bad else b"P6 2 2 255\n") + body
        )
    if accepted:
        assert len(data.load(tmp_path).skipped) == bad
    else:
        with pytest.raises(InputError, match=f"{bad} of the {total} images.*'000.ppm', '001.ppm'"):
            data.load(tmp_path)


class TestErrors:
    def test_a_folder_without_anything(self, tmp_path):
        with pytest.raises(InputError, match="holds no images"):
            data.load(tmp_path)

    def test_a_folder_without_images(self, tmp_path):
        (tmp_path / "a.txt").write_text("x")
        with pytest.raises(InputError, match=r"holds no images.*\.png"):
            data.load(tmp_path)

    def test_too_few_images(self, folder):
        for file in sorted(folder.iterdir())[7:]:
            file.unlink()
        with pytest.raises(InputError, match="7 usable samples"):
            data.load(folder)

    def test_only_broken_images(self, folder):
        for file in folder.iterdir():
            file.write_bytes(b"")
        with pytest.raises(InputError, match=r"20 of the 20 images.*'00.png', '01.png', '02.png', \.\.\."):
            data.load(folder)

    @pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"Rar!" * 100])
    def test_a_zip_that_is_none(self, tmp_path, content):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as a zip"):
            data.load(tmp_path / "a.zip")

    def test_a_zip_cut_short(self, folder, tmp_path):
        path = zipped(folder, tmp_path / "a.zip")
        path.write_bytes(_cut(path.read_bytes()))
        with pytest.raises(InputError, match="cannot be read as a zip"):
            data.load(path)

    def test_an_empty_zip(self, tmp_path):
        zipfile.ZipFile(tmp_path / "a.zip", "w").close()
        with pytest.raises(InputError, match="holds no images"):
            data.load(tmp_path / "a.zip")

    def test_an_encrypted_zip(self, folder, tmp_path):
        path = zipped(folder, tmp_path / "a.zip")
        content = bytearray(path.read_bytes())
        for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
            for found in re.finditer(re.escape(signature), bytes(content)):
                content[found.start() + offset] |= 1
        path.write_bytes(content)
        with pytest.raises(InputError, match="is encrypted"):
            data.load(path)

    @pytest.mark.parametrize("side", [10_000, 30_000])
    def test_a_decompression_bomb(self, folder, side):
        (folder / "10.png").write_bytes(png_of_claimed_size(side, side))
        with pytest.raises(InputError, match=r"'10.png' in .*more than 89,478,485 pixels.*bomb"):
            data.load(folder)

    def test_a_zip_bomb(self, folder, tmp_path):
        path = zipped(folder, tmp_path / "a.zip")
        content = bytearray(path.read_bytes())
        entry = content.index(b"PK\x01\x02")
        content[entry + 24 : entry + 28] = struct.pack("<I", 3_000_000_000)
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"3,000,000,000 bytes when unpacked.*bomb"):
            data.load(path)

    def test_labels_of_ones_own(self, folder):
        with pytest.raises(InputError, match="has its own labels"):
            data.load(folder, labels=np.zeros(20, int))


class TestMapped:
    def test_nothing_else_changes(self, folder, tmp_path):
        (folder / "07.png").write_bytes(b"")
        for path in (folder, zipped(folder, tmp_path / "a.zip")):
            whole = data.load(path)
            for _ in ("written", "reused"):
                mapped = data.load(path, memory_limit=1000)
                assert (whole.train.resident, mapped.train.resident) == (True, False)
                assert mapped.fingerprint == whole.fingerprint
                assert mapped.skipped == whole.skipped == ("07.png",)
                index = torch.arange(len(whole.train))
                assert torch.equal(mapped.train.batch(index), whole.train.batch(index))
            assert data.load(path).train.resident

    def test_is_decoded_only_once(self, folder, cache):
        data.load(folder, memory_limit=0)
        (kept,) = cache.rglob("*.npy")
        made = kept.stat().st_mtime_ns
        data.load(folder, memory_limit=0)
        assert kept.stat().st_mtime_ns == made

    def test_changed_files_or_options_are_decoded_again(self, folder, cache, noise):
        first = data.load(folder, memory_limit=0)
        assert data.load(folder, memory_limit=0, resolution=8).shape == (3, 8, 8)
        assert data.load(folder, memory_limit=0, channels=1).shape == (1, 16, 16)
        noise(20, 20, 3).save(folder / "00.png")
        assert data.load(folder, memory_limit=0).fingerprint != first.fingerprint
        assert len(list(cache.rglob("*.npy"))) == 4

    def test_nothing_half_made_stays(self, folder, cache):
        data.load(folder, memory_limit=0)
        names = sorted(file.name for file in cache.rglob("*") if file.is_file())
        assert names == [".lock", "00000.json", "00000.npy", "pack.json"]
