"""The side of a case that runs in TensorFlow: our compiled ops, their twins, and `tf.image`."""

import os

import numpy as np
import tensorflow as tf

from mrcnn_tf import ops
from mrcnn_tf.benchmark.peers.serve import Side, serve

Arrays = dict[str, np.ndarray]


def prepare(case: str, side: str, arrays: Arrays) -> Side:
    """The call that is timed and what turns its result into arrays."""
    if side == "tf.image":
        return _TF_IMAGE[case](arrays)
    with ops.implementation(side):
        call, collect = _OPS[case](arrays)

    # The first call traces, and has to see the choice too.
    def chosen():
        with ops.implementation(side):
            return call()

    return chosen, collect


def roi_align(arrays: Arrays) -> Side:
    return _roi_align(arrays, aligned=True)


def roi_align_pyramid(arrays: Arrays) -> Side:
    # MultiScaleRoIAlign does not shift by half a cell.
    return _roi_align(arrays, aligned=False)


def roi_align_grad(arrays: Arrays) -> Side:
    pyramid, boxes = _pyramid(arrays), tf.constant(arrays["boxes"][None])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pyramid)
        pooled = ops.roi_align(pyramid, boxes, int(arrays["bins"]), _strides(arrays))
    gradient = tf.constant(arrays["gradient"])

    def call():
        gradients = tape.gradient(pooled, pyramid, output_gradients=gradient)
        return [tf.convert_to_tensor(each) for each in gradients]

    return call, lambda grads: {f"gradient{i}": each.numpy() for i, each in enumerate(grads)}


def nms(arrays: Arrays) -> Side:
    boxes, scores = (tf.constant(arrays[name][None]) for name in ("boxes", "scores"))
    classes = tf.zeros(scores.shape, tf.int32)
    threshold, most = float(arrays["iou_threshold"]), int(arrays["max_output"])

    @tf.function
    def suppress(boxes, scores, classes):
        return ops.nms(boxes, scores, classes, threshold, -float("inf"), most)

    def collect(result):
        indices, count = result
        return {"indices": indices.numpy()[0, : int(count[0])]}

    return lambda: suppress(boxes, scores, classes), collect


def nms_by_tf_image(arrays: Arrays) -> Side:
    boxes, scores = (tf.constant(arrays[name]) for name in ("boxes", "scores"))
    threshold, most = float(arrays["iou_threshold"]), int(arrays["max_output"])

    @tf.function
    def suppress(boxes, scores):
        return tf.image.non_max_suppression(boxes, scores, most, threshold)

    return lambda: suppress(boxes, scores), lambda indices: {"indices": indices.numpy()}


def batched_nms(arrays: Arrays) -> Side:
    count, num_classes = arrays["scores"].shape
    boxes = tf.constant(arrays["boxes"].reshape(1, -1, 4))
    scores = tf.constant(arrays["scores"].reshape(1, -1))
    classes = tf.constant(np.tile(np.arange(num_classes, dtype=np.int32), count)[None])
    iou_threshold, score_threshold, most = _thresholds(arrays)

    @tf.function
    def suppress(boxes, scores, classes):
        return ops.nms(boxes, scores, classes, iou_threshold, score_threshold, most)

    def collect(result):
        indices = result[0].numpy()[0, : int(result[1][0])]
        rows = [boxes.numpy()[0, indices], scores.numpy()[0, indices, None]]
        return {"boxes": np.concatenate(rows, axis=1)}

    return lambda: suppress(boxes, scores, classes), collect


def batched_nms_by_tf_image(arrays: Arrays) -> Side:
    boxes, scores = (tf.constant(arrays[name][None]) for name in ("boxes", "scores"))
    iou_threshold, score_threshold, most = _thresholds(arrays)

    @tf.function
    def suppress(boxes, scores):
        return tf.image.combined_non_max_suppression(
            *(boxes, scores, most, most, iou_threshold, score_threshold), clip_boxes=False
        )

    def collect(result):
        kept, kept_scores, _, count = (each.numpy()[0] for each in result)
        return {"boxes": np.concatenate([kept[:count], kept_scores[:count, None]], axis=1)}

    return lambda: suppress(boxes, scores), collect


def proposals(arrays: Arrays) -> Side:
    levels = range(sum(name.startswith("logits") for name in arrays))
    logits = [tf.constant(arrays[f"logits{level}"][None]) for level in levels]
    deltas = [tf.constant(arrays[f"deltas{level}"][None]) for level in levels]
    anchors = [tf.constant(arrays[f"anchors{level}"]) for level in levels]
    sizes = tf.constant(arrays["image_size"][None], tf.float32)
    pre, post = int(arrays["pre_nms_top_n"]), int(arrays["post_nms_top_n"])
    threshold = float(arrays["nms_threshold"])

    @tf.function
    def propose(logits, deltas, anchors, sizes):
        return ops.proposals(logits, deltas, anchors, sizes, pre, post, threshold)

    def collect(result):
        boxes, _, count = result
        return {"boxes": boxes.numpy()[0, : int(count[0])]}

    return lambda: propose(logits, deltas, anchors, sizes), collect


def masks_to_rle(arrays: Arrays) -> Side:
    masks, boxes, size = arrays["masks"], arrays["boxes"], arrays["image_size"]

    def collect(encoded):
        counts = np.array([mask["counts"].encode("ascii") for mask in encoded])
        return {"counts": counts, "image_size": size}

    # As torchvision pastes them, so that the pixels can be compared.
    return lambda: ops.masks_to_rle(masks, boxes, *size, whole_pixels=True), collect


def match_boxes(arrays: Arrays) -> Side:
    anchors, boxes = tf.constant(arrays["anchors"]), tf.constant(arrays["boxes"][None])
    valid = tf.ones(boxes.shape[:2], tf.bool)

    @tf.function
    def match(anchors, boxes, valid):
        return ops.match_boxes(anchors, boxes, valid, 0.7, 0.3, allow_low_quality=True)

    return lambda: match(anchors, boxes, valid), lambda found: {"matches": found.numpy()[0]}


def mask_targets(arrays: Arrays) -> Side:
    names = ("masks", "mask_shapes", "mask_boxes", "rois", "matches", "image_size")
    *targets, rois, matches, sizes = (tf.constant(arrays[name][None]) for name in names)
    targets = dict(zip(names, targets, strict=False))

    # Sampled as torchvision does it: as many samples as pixels, without the shift by half of one.
    @tf.function
    def pool(targets, rois, matches, sizes):
        return ops.mask_targets(targets, rois, matches, 28, sizes, sampling_ratio=0, aligned=False)

    return (
        lambda: pool(targets, rois, matches, sizes),
        lambda pooled: {"targets": pooled.numpy()[0]},
    )


def _roi_align(arrays: Arrays, aligned: bool) -> Side:
    pyramid, boxes = _pyramid(arrays), tf.constant(arrays["boxes"][None])
    bins, strides = int(arrays["bins"]), _strides(arrays)

    @tf.function
    def pool(pyramid, boxes):
        return ops.roi_align(pyramid, boxes, bins, strides, aligned=aligned)

    return lambda: pool(pyramid, boxes), lambda pooled: {"pooled": pooled.numpy()[0]}


def _pyramid(arrays: Arrays) -> list[tf.Tensor]:
    return [tf.constant(arrays[f"features{level}"]) for level in range(len(arrays["strides"]))]


def _strides(arrays: Arrays) -> list[int]:
    return arrays["strides"].tolist()


def _thresholds(arrays: Arrays) -> tuple[float, float, int]:
    names = ("iou_threshold", "score_threshold", "max_output")
    return tuple(arrays[name].item() for name in names)


_OPS = {
    "roi_align_7": roi_align,
    "roi_align_14": roi_align,
    "roi_align_7_grad": roi_align_grad,
    "roi_align_14_grad": roi_align_grad,
    "roi_align_pyramid": roi_align_pyramid,
    "nms_12000": nms,
    "nms_top1000": nms,
    "batched_nms": batched_nms,
    "proposals": proposals,
    "masks_to_rle": masks_to_rle,
    "match_boxes": match_boxes,
    "mask_targets": mask_targets,
}
_TF_IMAGE = {"nms_top1000": nms_by_tf_image, "batched_nms": batched_nms_by_tf_image}


if __name__ == "__main__":
    threads = int(os.environ["MRCNN_TF_BENCHMARK_THREADS"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # What tracing takes would count as memory of the op.
    tf.config.run_functions_eagerly(os.environ.get("MRCNN_TF_BENCHMARK_MEMORY") == "1")
    serve(prepare)
