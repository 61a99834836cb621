"""`coco`: COCO annotations and images as a `tf.data.Dataset` that `model.fit` takes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mrcnn_tf.data.augmentation import Augmentation
from mrcnn_tf.data.augmenter import Augmenter
from mrcnn_tf.data.batch_order import BatchOrder, aspect_ratio_buckets, image_stream
from mrcnn_tf.data.batching import batched
from mrcnn_tf.data.coco_dataset import CocoDataset
from mrcnn_tf.data.pipeline_arguments import (
    check_arguments,
    checked_boundaries,
    checked_canvas,
    checked_shard,
    checked_size,
)
from mrcnn_tf.data.records import RecordDataset
from mrcnn_tf.data.sample import Sample
from mrcnn_tf.data.sample_reader import SampleReader
from mrcnn_tf.data.transforms import resample_masks
from mrcnn_tf.ops.resize_image import check_method

TOO_MANY = "object beyond max_objects"
NO_OBJECTS = "image without objects"


def coco(
    images: str | os.PathLike | CocoDataset | RecordDataset,
    annotations: str | os.PathLike | None = None,
    batch_size: int = 1,
    size: int | tuple[int, int] = (800, 1333),
    *,
    shuffle: bool = False,
    flip: bool = False,
    vertical_flip: bool = False,
    transpose: bool = False,
    scale_jitter: tuple[float, float] | None = None,
    short_sides: Sequence[int] | None = None,
    crop: tuple[float, float] | None = None,
    rotation: float = 0.0,
    translation: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    erasing: float = 0.0,
    copy_paste: float = 0.0,
    mosaic: float = 0.0,
    min_visible: float = 0.1,
    pad_to: tuple[int, int] | None = None,
    max_objects: int | None = 100,
    mask_size: int | None = None,
    keypoints: bool = False,
    drop_empty: bool = False,
    cache: bool | str | os.PathLike = False,
    seed: int = 0,
    initial_epoch: int = 0,
    initial_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    bucket_by_aspect_ratio: bool | Sequence[float] = False,
    repeat: bool | int = False,
    drop_remainder: bool = False,
    category_ids: Sequence[int] | None = None,
    image_ids: Sequence[int] | int | None = None,
    on_error: str = "raise",
    image_resize: str = "antialias",
) -> tf.data.Dataset:
    """COCO images and annotations in batches for training, validation and prediction.

    An element is `(x, y)`. M is the number of objects an image is padded to, H and W the size of
    the batch: its largest image, rounded up to multiples of 32.

    - `x["images"]` uint8 [B, H, W, 3], RGB, resized, zeros to the right of and below each image
    - `x["image_sizes"]` int32 [B, 2], height and width of each image inside that
    - `y["boxes"]` float32 [B, M, 4], [x1, y1, x2, y2] in resized pixels, clipped to the image
    - `y["classes"]` int32 [B, M], 0 to K - 1 in the order of the category ids; -1 for padding
    - `y["is_crowd"]` bool [B, M]; crowds are kept and marked, without a mask
    - `y["image_id"]` int64 [B]
    - `y["masks"]` uint8 [B, L], the mask crops of all objects, each flattened row by row and
      packed to bits (`numpy.packbits`) from a byte boundary on, in the order of the objects
    - `y["mask_shapes"]` int32 [B, M, 2], height and width of each crop in pixels of the original
      image; (0, 0) for padding, crowds and objects without a segmentation
    - `y["mask_boxes"]` float32 [B, M, 4], the region of the resized image that each crop covers
    - `y["keypoints"]` float32 [B, M, K, 3], with `keypoints=True`: x, y in resized pixels and
      COCO's visibility (2 visible, 1 hidden), zeros where a joint is not annotated

    A crop is the tight extent of the object's own mask at the original resolution: resizing moves
    `mask_boxes` only, so masks lose nothing.

    Every random choice is a function of (seed, epoch, image id). Each pass over the dataset is the
    next epoch, counted from `initial_epoch`; two datasets made with the same arguments give the
    same stream, with or without a cache.

    Images that hold more than `max_objects` objects keep those that are no crowd first and of
    these the largest boxes. (torchvision and Detectron2 keep all; the TF Model Garden the first in
    the file; Matterport a random choice. What is left out is taught as background, and the
    smallest boxes touch the fewest anchors.) Dense data wants `max_objects=None`.

    EXIF rotation is not applied, as in torchvision, see `mrcnn_tf.data.read_image`. Images without
    objects are kept by default: they are background to learn from; torchvision's reference and
    Detectron2 drop them (`drop_empty=True`).

    Args:
        images: folder of the images, or a `CocoDataset` or `RecordDataset`, which then has been
            given the `annotations`, `category_ids`, `image_ids` and `on_error`.
        annotations: COCO annotation file.
        batch_size: images a batch; with `shard`, images of the worker's own part of it.
        size: (short side, long side): the short side is brought to the first unless the long one
            would pass the second. An int n means (n, n): the image fits an n x n square.
        shuffle: a new order every epoch, over the whole dataset.
        flip: mirror left to right with probability 0.5.
        vertical_flip: mirror top to bottom with probability 0.5.
        transpose: swap x and y with probability 0.5.
        scale_jitter: (lowest, highest) factor on `size`, drawn for each image. With `pad_to` this
            is large scale jitter: what is larger than the canvas is cut at a random position.
        short_sides: short sides that images are resized to in place of that of `size`, one of which
            is drawn for each: `range(640, 801)`, or `(640, 672, 704, 736, 768, 800)` as in
            Detectron2.
        crop: (lowest, highest) part of an image's height and of its width, drawn one by one, that
            is cut out at a random position before the image is resized.
        rotation: largest angle in degrees, to either side. The size stays, corners are filled.
        translation: largest shift in parts of width and height, to either side.
        brightness: largest change of a factor of 1, as `contrast`, `saturation` and, in parts of
            the colour circle, `hue`: torchvision's `ColorJitter`.
        contrast: see `brightness`.
        saturation: see `brightness`.
        hue: see `brightness`.
        erasing: probability that a rectangle is overwritten; what is annotated under it stays.
        copy_paste: probability that objects of another image are pasted, see
            `mrcnn_tf.data.copy_paste`.
        mosaic: probability that the image is put together with three others, see
            `mrcnn_tf.data.mosaic`.
        min_visible: leave out objects of which crops and other objects leave less than this part
            of their mask, or of their box without one; 0 keeps whatever is in sight, as peers do.
            Crowds stay.
        pad_to: (H, W) every batch is padded to. Without `scale_jitter` and `crop` all images must
            fit.
        max_objects: M, or None for the largest number any image has; with `copy_paste` and `mosaic`
            the largest number that is put together.
        mask_size: resample every mask crop to this side (112, say): less memory, no longer exact.
        keypoints: read joints, which the file's categories must name. Those named "left" and
            "right" change places when an image is mirrored. COCO states the pixel that a joint is
            in; half a pixel is added, as in Detectron2, to be at its centre.
        drop_empty: leave out images that have no object, or crowds only.
        cache: True keeps decoded, resized samples in memory (3 bytes a pixel: 0.2 MB for 256 x 256,
            3.2 MB for 800 x 1333); a path keeps them as files in that folder, over restarts.
            Images are kept at their original size where their new one, or an angle, is drawn.
        seed: seed of all random choices.
        initial_epoch: number of the first pass, to go on with an interrupted training.
        initial_step: go on with this batch, counted from the first of `initial_epoch` over all
            passes: what `skip` gives on the stream of all passes, but no image is read for it.
        shard: (index, count): what one of `count` workers reads. The k-th batches of all workers,
            in their order, are the k-th batch of one process with `batch_size * count`: worker 0
            has its first `batch_size` rows. `initial_step` counts these common batches, and
            `drop_remainder` leaves out the last of them if it is smaller for all workers alike.
            Without it the last workers have fewer images in it or none, which is right for
            evaluation; workers that wait for each other need `drop_remainder` or `repeat=True`.
        bucket_by_aspect_ratio: batches of images of similar shape, which are padded less: True
            for landscape and portrait apart, as in Detectron2, or the increasing boundaries of
            width / height, `(0.5, 0.63, 0.79, 1, 1.26, 1.59, 2)` in torchvision's reference. The
            few images that are left in the buckets at the end are batched together, so that the
            number of batches stays.
        repeat: True for an endless dataset, n for n epochs; batches run over the epoch's end.
        drop_remainder: leave out the last batch if it is smaller.
        category_ids: see `CocoDataset`; give `model.category_ids` for validation data.
        image_ids: see `CocoDataset`; n for the first n images, e.g. to overfit on a few.
        on_error: `"raise"`, or `"skip"` to leave out images and annotations that are faulty. The
            number of batches is then unknown before the first epoch ends, and as batches close up
            over what is left out, `initial_step` and `shard` count as if nothing were.
        image_resize: `"antialias"`, `"torchvision"`, `"detectron2"` or `"matterport"`, see
            `mrcnn_tf.ops.resize_image`; give `model.image_resize`. Pixels are rounded to whole
            values here by all of them, which torchvision does not do.

    Returns:
        The dataset, with attributes `source` (the data set) and `skipped` (its dict of what
        was left out, by reason). Its cardinality is known unless `on_error="skip"`, or
        `initial_step` lies within a pass, which is then shorter than the next ones.

    Raises:
        FileNotFoundError: see `CocoDataset`.
        ValueError: an argument is out of range or the annotations are faulty. While reading, a
            faulty image or mask is a `tf.errors.InvalidArgumentError` that names the file.

    Example:

    >>> train = mrcnn_tf.data.coco(
    ...     "coco/train2017", "coco/annotations/instances_train2017.json", batch_size=2,
    ...     shuffle=True, flip=True)
    >>> model.fit(train, epochs=12)
    """
    dataset = _as_dataset(images, annotations, category_ids, image_ids, on_error)
    size = checked_size(size)
    check_method("image_resize", image_resize)
    check_arguments(batch_size, max_objects, mask_size, seed, initial_epoch, initial_step, repeat)
    index, count = checked_shard(shard)
    boundaries = checked_boundaries(bucket_by_aspect_ratio, pad_to)
    augmentation = Augmentation(
        flip=flip,
        vertical_flip=vertical_flip,
        transpose=transpose,
        scale_jitter=scale_jitter,
        short_sides=short_sides,
        crop=crop,
        rotation=rotation,
        translation=translation,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        erasing=erasing,
        copy_paste=copy_paste,
        mosaic=mosaic,
        min_visible=min_visible,
    )
    ids = _kept_images(dataset, drop_empty)
    max_objects = _object_limit(dataset, ids, max_objects, augmentation.most_images)
    if pad_to is not None:
        pad_to = checked_canvas(dataset, ids, size, pad_to, augmentation, image_resize)
    read_size = None if augmentation.needs_original else size
    reader = SampleReader(dataset, read_size, max_objects, cache, image_resize, keypoints)
    augmenter = Augmenter(
        reader.read, augmentation, ids, size, pad_to, seed, max_objects, image_resize
    )
    joints = len(dataset.keypoint_names) if keypoints else 0

    def load(image_id: int, epoch: int) -> Sample | None:
        sample = augmenter.load(image_id, epoch)
        if sample is None or mask_size is None:
            return sample
        return resample_masks(sample, mask_size)

    order = BatchOrder(
        image_ids=np.array(ids, np.int64),
        batch_size=batch_size * count,
        shuffle=shuffle,
        seed=seed,
        initial_epoch=initial_epoch,
        epochs=None if repeat is True else int(repeat or 1),
        drop_remainder=drop_remainder,
        buckets=aspect_ratio_buckets([dataset.size(i) for i in ids], boundaries),
        shard=(index, count),
    )
    stream = image_stream(order, initial_step)
    batches = batched(stream, load, batch_size, drop_remainder, max_objects, pad_to, joints)
    cardinality = order.cardinality(initial_step)
    if dataset.on_error == "raise" and cardinality != tf.data.UNKNOWN_CARDINALITY:
        batches = batches.apply(tf.data.experimental.assert_cardinality(cardinality))
    batches = batches.prefetch(tf.data.AUTOTUNE).with_options(_options())
    batches.source = dataset
    batches.skipped = dataset.skipped
    return batches


def _as_dataset(
    images, annotations, category_ids, image_ids, on_error
) -> CocoDataset | RecordDataset:
    if isinstance(images, str | os.PathLike):
        if annotations is None:
            raise ValueError("annotations (a COCO annotation file) must be given")
        return CocoDataset(
            images, annotations, category_ids=category_ids, image_ids=image_ids, on_error=on_error
        )
    repeated = any(value is not None for value in (annotations, category_ids, image_ids))
    if repeated or on_error != "raise":
        raise ValueError(
            f"annotations, category_ids, image_ids and on_error belong to the "
            f"{type(images).__name__} that was given as images; give them to it"
        )
    return images


def _kept_images(dataset: CocoDataset | RecordDataset, drop_empty: bool) -> list[int]:
    ids = dataset.image_ids
    if drop_empty:
        counts = dataset.object_counts(crowds=False)
        ids = [image_id for image_id, count in zip(ids, counts, strict=True) if count]
        dataset.skipped[NO_OBJECTS] = len(dataset) - len(ids)
        if not ids:
            raise ValueError(
                f"no image of {dataset.annotation_file} has an object, so drop_empty=True leaves "
                "none"
            )
    return ids


def _object_limit(
    dataset: CocoDataset | RecordDataset, ids: list[int], max_objects: int | None, images: int
) -> int:
    """`max_objects`, or the largest number of objects of so many images together."""
    counts = dataset.object_counts()[np.isin(dataset.image_ids, ids)]
    if max_objects is None:
        return max(1, int(np.sort(counts)[-images:].sum()))
    beyond = int(np.maximum(counts - max_objects, 0).sum())
    if beyond:
        dataset.skipped[TOO_MANY] = beyond
        warnings.warn(
            f"{dataset.annotation_file}: {beyond} objects are left out because their images hold "
            f"more than max_objects={max_objects} (at most {counts.max()}); max_objects=None keeps "
            "all",
            stacklevel=3,
        )
    return max_objects


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # there are no input files that tf.distribute could hand out
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
