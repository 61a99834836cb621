"""torchvision's side of `scripts/test_peers`, run by the Python of the peers."""

import os
import sys
from pathlib import Path

import torch
import torchvision
from PIL import Image

import numpy as np  # isort: skip  after torch, whose OpenMP it then shares

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "mrcnn_tf" / "benchmark" / "peers"))

from peer_torchvision import (  # noqa: E402
    TrainingRecorder,
    as_input,
    channels_last,
    published_model,
    resize_to,
    unnormalized,
)
from serve import serve  # noqa: E402

MOMENTUM = 0.9
# A pixel whose probability is so near 0.5 may be set on one side and not on the other.
UNDECIDED = 1e-4
# So much further are the class logits of the made-up weights spread.
LOGITS_GAIN = 2.0
# What the bias of the background's score is chosen from.
BACKGROUNDS = range(17)
# Where training decides what each anchor and each RoI is compared with.
DECISIONS = (("rpn", "assign_targets_to_anchors"), ("roi_heads", "select_training_samples"))

_models: dict[tuple[str, int], torch.nn.Module] = {}
# What the first step of the last `train` has decided, in float64.
_decisions: dict[tuple[str, str], object] = {}


def prepare(case, side, arrays):
    """`case` is a name of torchvision's, `side` what of it is wanted: see the functions."""
    key = case, int(arrays["seed"])
    if side != "detect":  # that takes the model with the class scores of `calibrate`
        _models.clear()  # one model at a time: the memory is for the activations
        _models[key] = published_model(*key)
    model = _models[key]
    resize_to(model, tuple(arrays["size"].tolist()))
    functions = (calibrate, detect, train, float64_gradients)
    function = {each.__name__: each for each in functions}[side]
    return lambda: function(model, arrays), lambda results: results


def calibrate(model, arrays):
    """Fits the class scores to `images`, and writes the weights to `weights`.

    A score then hangs on the image: what the features of all proposals of all images have in
    common is taken out of every class's logit, and the background's bias is such that the poorest
    image has most. Left in, it would be most of a logit, and so would be its rounding.
    """
    torch.set_grad_enabled(False)
    predictor = model.roi_heads.box_predictor.cls_score
    inputs = [_box_features(model, path) for path in arrays["images"].tolist()]
    common = torch.cat([features for features, *_ in inputs]).mean(dim=0)
    weight = LOGITS_GAIN * predictor.weight
    weight -= torch.outer(weight @ common, common) / common.square().sum()
    predictor.weight.copy_(weight)
    predictor.bias.zero_()
    found = [(predictor(features), *rest) for features, *rest in inputs]
    best = max(BACKGROUNDS, key=lambda background: _poorest(model.roi_heads, found, background))
    predictor.bias[0] = best
    torch.save(model.state_dict(), str(arrays["weights"]))
    return {"background": np.float32(best)}


def _box_features(model, path):
    images, _ = model.transform([as_input(_read(path))])
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    pooled = model.roi_heads.box_roi_pool(features, proposals, images.image_sizes)
    features = model.roi_heads.box_head(pooled)
    _, deltas = model.roi_heads.box_predictor(features)
    return features, deltas, proposals, images.image_sizes


def _poorest(heads, found, background: float) -> float:
    """The least of all images: detections up to 40, classes up to 10, range of the scores."""
    richness = []
    for logits, *rest in found:
        likely = torch.cat([logits[:, :1] + background, logits[:, 1:]], dim=1)
        _, scores, labels = (each[0] for each in heads.postprocess_detections(likely, *rest))
        spread = float(scores.max() - scores.min()) if len(scores) else 0.0
        richness.append(min(len(scores) / 40, 1) + min(len(labels.unique()) / 10, 1) + spread)
    return min(richness)


def detect(model, arrays):
    """Every stage of the model for the file `image`, batch axis left out, channels-last."""
    torch.set_grad_enabled(False)
    pixels = _read(str(arrays["image"]))
    images, _ = model.transform([as_input(pixels)])
    features = model.backbone(images.tensors)
    levels = list(features.values())
    found = {
        "pixels": pixels,
        "image_size": np.int32(images.image_sizes[0]),
        "resized": unnormalized(model, images.tensors)[0],
    }
    logits, deltas = model.rpn.head(levels)
    for i, values in enumerate(zip(levels, logits, deltas, strict=True)):
        pyramid, level_logits, level_deltas = map(channels_last, values)
        found |= {f"features.{i}": pyramid[0], f"rpn_logits.{i}": level_logits.reshape(-1)}
        found[f"rpn_deltas.{i}"] = level_deltas.reshape(-1, 4)
    anchors = model.rpn.anchor_generator(images, levels)
    all_deltas = np.concatenate([found[f"rpn_deltas.{i}"] for i in range(len(levels))])
    decoded = model.rpn.box_coder.decode(torch.from_numpy(all_deltas), anchors)[:, 0]
    found["decoded"] = torchvision.ops.clip_boxes_to_image(decoded, images.image_sizes[0]).numpy()

    proposals, _ = model.rpn(images, features)
    kept, scores = model.rpn.filter_proposals(
        decoded[None],
        torch.cat([torch.from_numpy(found[f"rpn_logits.{i}"]) for i in range(len(levels))])[None],
        images.image_sizes,
        [len(found[f"rpn_logits.{i}"]) for i in range(len(levels))],
    )
    assert torch.equal(kept[0], proposals[0])
    found |= {"proposals": proposals[0].numpy(), "proposal_scores": scores[0].numpy()}

    heads = model.roi_heads
    pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    boxes, scores, labels = heads.postprocess_detections(
        logits, deltas, proposals, images.image_sizes
    )
    found |= {"box_pooled": channels_last(pooled), "class_logits": logits.numpy()}
    found |= {"box_deltas": deltas.reshape(len(deltas), -1, 4).numpy()}
    found |= {"boxes": boxes[0].numpy(), "scores": scores[0].numpy()}
    found["classes"] = labels[0].numpy().astype(np.int32) - 1
    for kind in ("mask", "keypoint"):
        pool = getattr(heads, f"{kind}_roi_pool")
        if pool is None:
            continue
        pooled = pool(features, boxes, images.image_sizes)
        maps = getattr(heads, f"{kind}_head")(pooled)
        maps = getattr(heads, f"{kind}_predictor")(maps)
        found |= {f"{kind}_pooled": channels_last(pooled), f"{kind}_logits": channels_last(maps)}

    # From the file to the pixels of the original image, as a user calls the model.
    result = model([as_input(pixels)])[0]
    found |= {f"final.{name}": result[name].numpy() for name in ("boxes", "scores")}
    found["final.classes"] = result["labels"].numpy().astype(np.int32) - 1
    if "masks" in result:
        masks = result["masks"].flatten(1).numpy()
        found["final.masks_packed"] = np.packbits(masks > 0.5, axis=1)
        found["final.undecided_packed"] = np.packbits(abs(masks - 0.5) < UNDECIDED, axis=1)
    if "keypoints" in result:
        found["final.keypoints"] = result["keypoints"].numpy()
        found["final.keypoint_scores"] = result["keypoints_scores"].numpy()
    return found


def train(model, arrays):
    """`steps` of SGD on one batch: losses and samples of each, gradients of the first.

    Of every image i, `image.i` is a file and `boxes.i`, `labels.i` (of torchvision), `masks.i`
    (packed, [N, L]) and `keypoints.i` are its objects. State dicts are written to `weights`,
    before the first step, to `trained`, after the last, to `gradients`, where what is frozen has 0,
    and to `trainable`, which has 1 for what is trained and 0 for the rest. `batch_statistics` is
    whether the model normalises with the batch.
    """
    torch.set_grad_enabled(True)
    torch.save(model.state_dict(), str(arrays["weights"]))
    torch.save(_by_parameter(model, _is_trained), str(arrays["trainable"]))
    images, targets = _read_batch(arrays)
    batch, resized = model.transform(images, targets)
    found = {
        "images": unnormalized(model, batch.tensors),
        "image_sizes": np.int32(batch.image_sizes),
    }
    for i, target in enumerate(resized):
        found[f"boxes.{i}"] = target["boxes"].numpy()
        if "masks" in target:
            masks = target["masks"].numpy().reshape(len(target["masks"]), -1)
            found[f"masks_packed.{i}"] = np.packbits(masks, axis=1)
        if "keypoints" in target:
            found[f"keypoints.{i}"] = target["keypoints"].numpy()

    recorder = TrainingRecorder(model)
    decisions = {each: _keep_result(model, *each) for each in DECISIONS}
    found["batch_statistics"] = np.bool_(_has_batch_statistics(model))
    parameters = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=float(arrays["learning_rate"]), momentum=MOMENTUM)
    for step in range(int(arrays["steps"])):
        losses = recorder.losses(images, targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        for name, loss in losses.items():
            found[f"{step}.{name}"] = loss.detach().numpy()
        found |= {f"{step}.{name}": value for name, value in recorder.samples().items()}
        if step == 0:
            for i, labels in enumerate(recorder.anchor_labels()):
                found[f"anchor_labels.{i}"] = labels
            torch.save(_by_parameter(model, _gradient), str(arrays["gradients"]))
            _decisions.update({each: _as_float64(kept) for each, (kept,) in decisions.items()})
        optimizer.step()
    torch.save(model.state_dict(), str(arrays["trained"]))
    return found


def float64_gradients(model, arrays):
    """The gradients of the first step of the last `train`, in float64, as a state dict `gradients`.

    What that step has decided is replayed, since rounding could decide otherwise; so is on which
    side of 0 each unit of the keypoint head is, if `units.k`, packed, say it of ReLU k.

    Returns:
        Of every such ReLU the number of `units`, of those on the `other_side` in float64, and the
        `farthest` of these from 0, relative to the largest value of the layer.
    """
    torch.set_grad_enabled(True)
    TrainingRecorder(model.double())
    for (part, method), decided in _decisions.items():
        setattr(getattr(model, part), method, lambda *_, decided=decided: decided)
    head = model.roi_heads.keypoint_head or []
    places = [i for i, layer in enumerate(head) if isinstance(layer, torch.nn.ReLU)]
    units = [arrays[f"units.{k}"] for k in range(len(places))]
    for i, packed in zip(places, units, strict=True):
        head[i] = ReplayedReLU(packed)
    images, targets = _read_batch(arrays)
    losses = model([image.double() for image in images], targets)
    sum(losses.values()).backward()
    torch.save(_by_parameter(model.float(), _gradient), str(arrays["gradients"]))
    names = ("units", "other_side", "farthest")
    return {name: np.array([getattr(head[i], name) for i in places]) for name in names}


class ReplayedReLU(torch.nn.Module):
    """Lets through the units that another implementation has let through.

    Args:
        packed: bits, whether each unit `[N, C, H, W]` is let through.
    """

    def __init__(self, packed: np.ndarray):
        super().__init__()
        self.packed = packed

    def forward(self, values):
        bits = np.unpackbits(self.packed, count=values.numel()).astype(bool)
        is_passed = torch.from_numpy(bits).reshape(values.shape)
        is_other = is_passed != (values > 0)
        others = values.detach()[is_other].abs()
        self.units, self.other_side = values.numel(), len(others)
        self.farthest = float(others.max() / values.detach().abs().max()) if len(others) else 0.0
        return values * is_passed


def _has_batch_statistics(model) -> bool:
    norms = [each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    return any(norm.training for norm in norms)


def _keep_result(model, part: str, method: str) -> list:
    """Has a method of a part of the model put what it returns into a list, in place of the last."""
    owner, kept = getattr(model, part), []
    call = getattr(owner, method)

    def keep(*args):
        kept[:] = [call(*args)]
        return kept[0]

    setattr(owner, method, keep)
    return kept


def _as_float64(value):
    """Floating tensors, and those in lists and tuples."""
    if isinstance(value, (list, tuple)):
        return type(value)(_as_float64(each) for each in value)
    is_floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.double() if is_floating else value


def _read_batch(arrays):
    """Images and targets as torchvision takes them."""
    images, targets = [], []
    for i in range(int(arrays["batch"])):
        pixels = _read(str(arrays[f"image.{i}"]))
        images.append(as_input(pixels))
        targets.append(_targets(arrays, i, pixels.shape[:2]))
    return images, targets


def _targets(arrays, i, size):
    target = {"boxes": torch.from_numpy(arrays[f"boxes.{i}"])}
    target["labels"] = torch.from_numpy(arrays[f"labels.{i}"].astype(np.int64))
    if f"masks.{i}" in arrays:
        masks = np.unpackbits(arrays[f"masks.{i}"], axis=1)[:, : size[0] * size[1]]
        target["masks"] = torch.from_numpy(masks.reshape(-1, *size))
    if f"keypoints.{i}" in arrays:
        target["keypoints"] = torch.from_numpy(arrays[f"keypoints.{i}"].astype(np.float32))
    return target


def _by_parameter(model, value_of) -> dict[str, torch.Tensor]:
    """A state dict with `value_of` each parameter in its place; 0 for what is no parameter."""
    values = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        values[name] = value_of(parameter)
    return values


def _gradient(parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _is_trained(parameter) -> torch.Tensor:
    return torch.full_like(parameter, float(parameter.requires_grad)).detach()


def _read(path: str) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["MRCNN_TF_BENCHMARK_THREADS"]))
    serve(prepare)
