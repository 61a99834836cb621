"""The whole job on generated scenes: train, evaluate on unseen scenes, draw, plot, export.

    scripts/demo

Hardware: 2 CPU cores, no GPU. Time: about 6 minutes. Starts from EfficientNet-Lite0's ImageNet
weights. Expected on 100 unseen scenes: box AP and mask AP above 0.40, AP50 above 0.70.
The last line printed is JSON: box_ap, box_ap50, mask_ap, mask_ap50, minutes, out.
"""

import argparse
import json
import os
import shutil
import time

STEPS, TRAIN_IMAGES, VAL_IMAGES, TEST_IMAGES = 520, 520, 16, 100

# The model is small so that two cores train it in minutes; every number is a constructor argument.
MODEL = {
    "image_size": 256,
    "frozen_stages": 3,
    "fpn_channels": 64,
    "anchor_sizes": (16, 32, 64, 128, 256),
    "rpn_pre_nms_top_n": (300, 200),
    "rpn_post_nms_top_n": (200, 100),
    "rois_per_image": 64,
    # As for large photos: finer levels than the size of the scenes asks for make sharper masks.
    "roi_canonical_size": 224,
    "box_fc": (256,),
    "mask_channels": 64,
    "mask_convs": 3,
    "max_detections": 30,
    "loss_weights": {"box_loss": 2.0, "mask_loss": 2.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="demo_output", help="folder for everything (replaced)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps ({STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="of scenes, weights and sampling (0)")
    args = parser.parse_args()
    start = time.time()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # see mrcnn_tf.cli.main

    from mrcnn_tf.cli.main import main as mrcnn_tf
    from mrcnn_tf.data import shapes
    from mrcnn_tf.evaluation import evaluate
    from mrcnn_tf.training import Recipe, train
    from mrcnn_tf.visualize import training_curves

    out = os.path.abspath(args.out)
    shutil.rmtree(out, ignore_errors=True)
    scenes = os.path.join(out, "scenes")
    print(f"1/5 Generating {TRAIN_IMAGES} scenes to learn from and {TEST_IMAGES} held out")
    shapes.generate(scenes, TRAIN_IMAGES, seed=args.seed, stem="train")
    shapes.generate(scenes, VAL_IMAGES, seed=args.seed, stem="val")
    shapes.generate(scenes, TEST_IMAGES, seed=args.seed, stem="test")

    print(f"2/5 Training {args.steps} steps")
    recipe = Recipe(
        preset="maskrcnn_efficientnet_lite0_fpn",
        batch_size=4,
        steps=args.steps,
        steps_per_epoch=max(args.steps // 4, 1),
        learning_rate=1e-3,
        warmup_steps=20,
        seed=args.seed,
    )
    model, _ = train(scenes, "train", "val", out, recipe, MODEL)

    print(f"3/5 Evaluating on {TEST_IMAGES} unseen scenes")
    annotations = os.path.join(scenes, "annotations", "test.json")
    figures = evaluate(model, os.path.join(scenes, "images"), annotations)

    print("4/5 Drawing")
    pictures = os.path.join(out, "pictures")
    model_file = os.path.join(out, "model.keras")
    some = [os.path.join(scenes, "images", f"test_{index:06d}.png") for index in range(8)]
    mrcnn_tf(["predict", model_file, *some, "--out", pictures])
    training_curves(os.path.join(out, "log.csv"), os.path.join(pictures, "training.png"))

    print("5/5 Exporting a SavedModel")
    mrcnn_tf(["export", model_file, os.path.join(out, "saved_model", "1")])

    print(f"\nEverything is in {out}:")
    print("  model.keras      load it with mrcnn_tf.load")
    print("  saved_model/1    for TensorFlow Serving; holds core TensorFlow ops only")
    print("  pictures         detections on unseen scenes, and the training curves")
    print("  scenes           the generated data, an ordinary COCO folder")
    kept = ("box_ap", "box_ap50", "mask_ap", "mask_ap50")
    summary = {name: round(figures[name], 4) for name in kept}
    summary |= {"minutes": round((time.time() - start) / 60, 2), "out": out}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
