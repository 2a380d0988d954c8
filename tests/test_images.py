import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from wgan.errors import InputError, StorageError
from wgan.image_requests import MEDIA, WIDEST, encode
from wgan.images import CELL, GAP, animation, grid, scatter, show, to_bytes, to_image, write_png


def squares(count, channels=1, height=28, width=28):
    """Images of one level each, all levels different."""
    levels = np.linspace(-1, 1, count * channels, dtype=np.float32).reshape(count, channels, 1, 1)
    return np.broadcast_to(levels, (count, channels, height, width)).copy()


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (-1.0, 0),
        (1.0, 255),
        (0.0, 128),  # 127.5 is rounded to even
        (-1 + 0.9 / 255, 0),
        (-1 + 1.1 / 255, 1),
        (1 - 1.1 / 255, 254),
        (1 - 0.9 / 255, 255),
        (-1 + 2 / 255, 1),
        (1 - 2 / 255, 254),
        (-7.0, 0),
        (7.0, 255),
        (float("inf"), 255),
        (float("-inf"), 0),
        (float("nan"), 0),
    ],
)
def test_levels(value, level):
    pixels = to_bytes(np.full((2, 3), value, np.float32))
    assert pixels.dtype == np.uint8
    assert (pixels == level).all()


@given(arrays.arrays(np.uint8, (5, 7)))
def test_bytes_survive_the_way_to_floats_and_back(levels):
    assert (to_bytes(levels.astype(np.float32) / 127.5 - 1) == levels).all()


@given(arrays.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_levels_rise_with_the_value(values):
    values = np.sort(values[~np.isnan(values)])
    assert (np.diff(to_bytes(values).astype(int)) >= 0).all()


def test_a_grey_image_keeps_its_pixels():
    levels = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    image = to_image(levels / 127.5 - 1)
    assert (image.mode, image.size) == ("L", (3, 2))
    assert np.asarray(image).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_coloured_image_keeps_its_channels():
    levels = np.zeros((3, 2, 2), np.float32)
    levels[0, 0, 0], levels[1, 0, 1], levels[2, 1, 0] = 255, 254, 253
    image = to_image(levels / 127.5 - 1)
    assert image.mode == "RGB"
    assert np.asarray(image).tolist() == [[[255, 0, 0], [0, 254, 0]], [[0, 0, 253], [0, 0, 0]]]


@pytest.mark.parametrize("shape", [(2,), (8, 8), (2, 8, 8), (4, 8, 8), (1, 1, 8, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(InputError, match=r"no image with 1 or 3 channels.*\.npz"):
        to_image(np.zeros(shape, np.float32))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9, 10, 16])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (28, 32), (40, 28), (8, 8), (7, 8), (4, 16), (1, 1)])
def test_a_grid_is_exactly_its_images_magnified_row_by_row(count, channels, height, width):
    samples = squares(count, channels, height, width)
    samples[:, :, 0, 0] = 1.0  # so that a flip would show
    factor = next(factor for factor in range(1, CELL + 1) if min(height, width) * factor >= CELL)
    columns = next(columns for columns in range(1, count + 1) if columns**2 >= count)
    rows = -(-count // columns)
    sheet = grid(samples)
    assert sheet.mode == ("L" if channels == 1 else "RGB")
    across, down = width * factor + GAP, height * factor + GAP
    assert sheet.size == (columns * across + GAP, rows * down + GAP)
    pixels = np.asarray(sheet).reshape(*sheet.size[::-1], channels)
    assert (pixels[:GAP] == 96).all()
    assert (pixels[:, :GAP] == 96).all()
    pixels = pixels[GAP:, GAP:].reshape(rows, down, columns, across, channels)
    magnified = to_bytes(samples).repeat(factor, 2).repeat(factor, 3).transpose(0, 2, 3, 1)
    for index in range(rows * columns):
        cell = pixels[index // columns, :, index % columns]
        assert (cell[-GAP:] == 96).all()
        assert (cell[:, -GAP:] == 96).all()
        assert (cell[:-GAP, :-GAP] == (magnified[index] if index < count else 96)).all()


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(InputError, match="no samples"):
        grid(np.zeros((0, 1, 8, 8), np.float32))


def test_a_grid_of_two_channels_is_refused():
    with pytest.raises(InputError, match="1 or 3 channels"):
        grid(np.zeros((4, 2, 8, 8), np.float32))


def test_images_are_shown_as_a_grid():
    samples = squares(5)
    assert show(samples).tobytes() == grid(samples).tobytes()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("with_reference", [True, False])
def test_vectors_are_shown_as_points(dimensions, with_reference):
    points = np.random.default_rng(0).normal(size=(50, dimensions)).astype(np.float32)
    image = show(points, points + 1 if with_reference else None)
    assert image.mode == "RGB"
    assert min(image.size) >= 100
    assert len(image.getcolors(image.width * image.height)) == 2 + with_reference


def test_a_scatter_is_framed_by_its_reference():
    reference = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    near = np.zeros((1, 2), np.float32)
    astray = np.array([[0, 0], [1e6, 1e6], [np.nan, 0], [np.inf, 0]], np.float32)
    assert scatter(near, reference).tobytes() == scatter(astray, reference).tobytes()


def test_points_that_are_all_one_can_be_shown():
    assert scatter(np.ones((3, 2), np.float32)).mode == "RGB"


def test_a_scatter_opens_no_display():
    code = """
import sys
import numpy as np
from wgan.images import scatter
assert scatter(np.eye(2, dtype=np.float32)).mode == "RGB"
assert "matplotlib.pyplot" not in sys.modules  # it alone has windows
assert not {"tkinter", "gi", "PyQt5", "PyQt6", "PySide6", "wx"} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def frames_of(path):
    with Image.open(path) as image:
        assert image.format == "GIF"
        return [
            (seek.copy().convert("RGB"), seek.info["duration"])
            for seek in (image.seek(i) or image for i in range(image.n_frames))
        ]


@pytest.mark.parametrize("seconds", [0.01, 0.2, 1.5, 600])
def test_an_animation_shows_its_frames_in_order(tmp_path, seconds):
    frames = [to_image(sample) for sample in squares(5)]
    animation(frames, tmp_path / "a.gif", seconds=seconds)
    read = frames_of(tmp_path / "a.gif")
    assert [duration for _, duration in read] == [round(seconds * 1000)] * 4 + [2000]
    assert [frame.tobytes() for frame, _ in read] == [frame.convert("RGB").tobytes() for frame in frames]
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0


def test_an_animation_keeps_every_grey_level(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frames = [Image.fromarray(levels), Image.fromarray(levels.T.copy())]
    animation(frames, tmp_path / "a.gif")
    read = [np.asarray(frame.convert("L")) for frame, _ in frames_of(tmp_path / "a.gif")]
    assert (read[0] == levels).all()
    assert (read[1] == levels.T).all()


@pytest.mark.parametrize("form", MEDIA)
@pytest.mark.parametrize("shape", [(1, 1, WIDEST), (1, 1, WIDEST + 1), (3, WIDEST + 1, 1)])
def test_a_image_is_too_large_for_webp_alone(form, shape):
    samples = np.zeros((1, *shape), np.float32)
    if form != "webp" or max(shape) <= WIDEST:
        assert encode(samples, form)
        return
    with pytest.raises(InputError, match=r"at most 16,383 pixels a side, and this image is .*16,384"):
        encode(samples, form)


def test_an_animation_lasts_as_long_though_a_frame_repeats(tmp_path):
    black, white = (Image.new("L", (8, 8), level) for level in (0, 255))
    animation([black, black, white, white], tmp_path / "a.gif", seconds=0.5)
    assert sum(duration for _, duration in frames_of(tmp_path / "a.gif")) == 3 * 500 + 2000


def test_an_animation_of_one_frame(tmp_path):
    animation([Image.new("RGB", (8, 8), "red")], tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 1
        assert image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("seconds", [0, -1, 0.001, 601, float("nan"), float("inf")])
def test_an_animation_with_an_impossible_pace_is_refused(tmp_path, seconds):
    with pytest.raises(InputError, match="seconds must be in"):
        animation([Image.new("L", (8, 8))], tmp_path / "a.gif", seconds=seconds)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sizes", [[], [(8, 8), (9, 8)]])
def test_an_animation_of_nothing_or_of_odd_sizes_is_refused(tmp_path, sizes):
    with pytest.raises(InputError, match="at least one frame, and all frames of one size"):
        animation([Image.new("L", size) for size in sizes], tmp_path / "a.gif")


def test_an_animation_under_another_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"does not end in \.gif"):
        animation([Image.new("L", (8, 8))], tmp_path / "a.mp4")


def test_a_image_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.png"
    write_png(target, to_image(squares(1)[0]))
    before = target.read_bytes()

    class Broken:
        def save(self, file, format):  # noqa: A002 - Pillow's word
            file.write(b"half")
            raise OSError("no space left")

    with pytest.raises(StorageError, match="no space left"):
        write_png(target, Broken())
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]
