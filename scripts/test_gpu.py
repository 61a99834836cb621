"""Tests the ops and a model on a GPU, and measures how fast the model trains and predicts.

    scripts/test_gpu --help

scripts/test_gpu builds the ops and runs this. With `--device cpu` this file needs no GPU.
"""

import argparse
import os
import sys

PARTS = ("ops", "fit", "speed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of ops,fit,speed")
    parser.add_argument("--cases", type=int, default=50, help="random cases for each op")
    parser.add_argument("--seed", type=int, default=0, help="of the random cases")
    parser.add_argument("--batch-size", type=int, default=2, help="of the speed part")
    parser.add_argument("--steps", type=int, default=20, help="that the speed part times")
    parser.add_argument("--quick", action="store_true", help="a tiny model in the speed part")
    parser.add_argument("--json", help="file for everything that was found")
    args = parser.parse_args()
    parts = args.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts takes {', '.join(PARTS)}, got {args.parts}")
    if min(args.cases, args.steps, args.batch_size) < 1:
        parser.error("--cases, --steps and --batch-size must be positive")
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""

    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    from test_gpu_models import measure_speed, train_small_models
    from test_gpu_ops import compare_ops

    from mrcnn_tf.data.write_json import write_json
    from mrcnn_tf.environment import environment

    device = "/GPU:0" if args.device == "gpu" else "/CPU:0"
    found = {"device": args.device, **environment(), "passed": True}
    if args.device == "gpu" and not tf.config.list_physical_devices("GPU"):
        print(
            "TensorFlow sees no GPU. Its CUDA libraries: pip install 'tensorflow[and-cuda]'; "
            "what it misses is in its log with TF_CPP_MIN_LOG_LEVEL=0.",
            file=sys.stderr,
        )
        return 1
    if not found["ops"]["compiled"]:
        print(f"{found['ops']['reason']}. Build: {found['ops']['rebuild']}", file=sys.stderr)
        return 1
    for each in found["devices"]:
        print(f"{each['type']}: {each['name']}")
    if "ops" in parts:
        rows = found["op_checks"] = []
        for row in compare_ops(device, args.cases, args.seed):
            rows.append(row)
            print(f"ops    {row['op']:<18} {row['dtype']:<9} {row['result']}", flush=True)
        if args.device == "gpu" and not any(row["compared"] for row in rows):
            rows.append({"op": "all", "result": "the library has no kernel for GPUs"})
            rows[-1] |= {"dtype": "", "compared": False, "passed": False}
            print(f"ops    {rows[-1]['result']}: was it built with MRCNN_TF_CUDA=ON?")
    if "fit" in parts:
        rows = found["fits"] = []
        for row in train_small_models(args.device == "gpu"):
            rows.append(row)
            print(
                f"fit    {row['policy']:<18} {row['steps']} steps, loss {row['first_loss']:.3f} to "
                f"{row['last_loss']:.3f}, on {row['device'].rpartition('/')[2]}"
                f"{'' if row['passed'] else ': FAILED'}",
                flush=True,
            )
    if "speed" in parts:
        rows = found["speeds"] = []
        for row in measure_speed(args.batch_size, args.steps, args.quick):
            rows.append(row)
            print(
                f"speed  {row['what']:<10} {row['policy']:<15} {row['height']} x {row['width']}, "
                f"batch {row['batch_size']}: {row['images_per_second']:.2f} images/s",
                flush=True,
            )
    checks = [*found.get("op_checks", []), *found.get("fits", [])]
    found["passed"] = all(row["passed"] for row in checks)
    if args.json:
        write_json(args.json, found)
    print("passed" if found["passed"] else "FAILED")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
