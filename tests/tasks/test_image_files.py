"""Images of every form of file, against the arrays that the files were made of."""

import gzip
import struct

import numpy as np
import pytest
from tiny_images import tiny_images, write_images

from xbarsim.base.errors import TaskError
from xbarsim.tasks.image_files import is_image_task, load_image_task
from xbarsim.tasks.task import notes_on

IMAGES, CLASSES = tiny_images(12)
GREY = IMAGES[..., 0]
TRAIN, TEST = slice(0, 8), slice(8, 12)


def idx(values):
    """MNIST's form: 0, 0, 8, dimensions, sizes with the highest byte first, values."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return head + values.astype(np.uint8).tobytes()


def write_idx(directory, zipped):
    for part, chosen in (("train", TRAIN), ("t10k", TEST)):
        for what, values in (("images-idx3", GREY), ("labels-idx1", CLASSES)):
            content = idx(values[chosen])
            path = directory / f"{part}-{what}-ubyte"
            if zipped:
                path = path.with_name(path.name + ".gz")
                content = gzip.compress(content)
            path.write_bytes(content)


def write_npy(directory):
    for part, chosen in (("train", TRAIN), ("test", TEST)):
        np.save(directory / f"{part}_images.npy", IMAGES[chosen])
        np.save(directory / f"{part}_labels.npy", CLASSES[chosen])


def write_csv(directory):
    for part, chosen in (("train", TRAIN), ("test", TEST)):
        lines = ["label," + ",".join(f"{k}" for k in range(36))]
        for label, image in zip(CLASSES[chosen], GREY[chosen], strict=True):
            lines.append(",".join(map(str, [label, *image.ravel()])))
        (directory / f"some_{part}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    ("write", "images"),
    [
        (lambda place: write_idx(place, zipped=False), GREY),
        (lambda place: write_idx(place, zipped=True), GREY),
        (write_npy, IMAGES),
        (write_csv, GREY),
    ],
    ids=["idx", "idx.gz", "npy", "csv"],
)
def test_a_directory_of_two_parts(tmp_path, write, images):
    write(tmp_path)
    assert is_image_task(tmp_path)
    for path in (tmp_path, sorted(tmp_path.iterdir())[0]):
        if path.suffix == ".csv":
            continue  # one file of them is a task by itself
        for _ in range(2):  # a table is parsed once, and then read from the cache
            task = load_image_task(path)
        assert task.kind == "images"
        np.testing.assert_array_equal(np.array(task.pixels()), images.reshape(12, -1))
        np.testing.assert_array_equal(task.targets, CLASSES)
        np.testing.assert_array_equal(task.test, np.arange(12) >= 8)
        scored, calibration = task.scored_and_calibration(4)
        assert len(scored) == 4
        assert len(calibration) == 4


def test_a_table_alone_and_an_archive(tmp_path):
    write_csv(tmp_path)
    alone = load_image_task(tmp_path / "some_test.csv")
    np.testing.assert_array_equal(np.array(alone.pixels()), GREY[TEST].reshape(4, -1))
    assert alone.test is None
    test = np.arange(60) % 3 == 0
    task = load_image_task(write_images(tmp_path / "one.npz", test=test))
    np.testing.assert_array_equal(task.test, test)
    assert len(task.held_out()) == 20


def test_images_that_stand_in_both_parts_are_told(tmp_path):
    images, classes = tiny_images(8)
    images[5] = images[1]
    path = tmp_path / "some.npz"
    np.savez(path, images=images, labels=classes, test=np.arange(8) >= 4)
    task = load_image_task(path)
    (note,) = notes_on(task, task.held_out())
    assert note.startswith("1 of 4 scored examples")


def test_labels_need_not_be_0_to_k(tmp_path):
    np.savez(tmp_path / "some.npz", images=GREY, labels=10 * CLASSES + 5)
    task = load_image_task(tmp_path / "some.npz")
    assert task.classes == ("5", "15", "25")
    np.testing.assert_array_equal(task.targets, CLASSES)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": GREY}, "array 'labels' is missing"),
        ({"images": GREY, "labels": CLASSES[:-1]}, "labels"),
        ({"images": GREY / 255, "labels": CLASSES}, "whole numbers from 0 to 255"),
        ({"images": GREY.astype(int) * 2, "labels": CLASSES}, "whole numbers from 0 to 255"),
        ({"images": GREY, "labels": CLASSES * 0}, "all images are of the class 0"),
        ({"images": GREY, "labels": CLASSES, "test": CLASSES}, "one boolean for each"),
        ({"images": GREY, "labels": CLASSES + 0.5}, "labels are of type float64"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "some.npz", **arrays)
    with pytest.raises(TaskError, match=said):
        load_image_task(tmp_path / "some.npz")


def test_files_that_are_no_images_are_refused(tmp_path):
    with pytest.raises(TaskError, match="holds no images"):
        load_image_task(tmp_path)
    write_idx(tmp_path, zipped=False)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TaskError, match="it is cut"):
        load_image_task(tmp_path)
    path.write_bytes(b"no such thing")
    with pytest.raises(TaskError, match="not an IDX file"):
        load_image_task(tmp_path)
    table = tmp_path / "some.csv"
    table.write_text("label,1\n1,300\n")
    with pytest.raises(TaskError, match="not a table of whole numbers"):
        load_image_task(table)
    (tmp_path / "some.npz").write_bytes(b"no such thing")
    with pytest.raises(TaskError, match="not a readable"):
        load_image_task(tmp_path / "some.npz")
