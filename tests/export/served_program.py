"""Runs an exported model where mrcnn_tf cannot be imported: FOLDER INPUTS.npz OUTPUTS.npz."""

import sys


class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mrcnn_tf":
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Block())
try:
    import mrcnn_tf  # noqa: F401
except ImportError:
    pass
else:
    sys.exit("mrcnn_tf could be imported")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

folder, inputs, outputs = sys.argv[1:]
inputs = np.load(inputs, allow_pickle=True)  # contents of files are objects
served = tf.saved_model.load(folder)
results = {}
for call in {name.rpartition("/")[0] for name in inputs}:
    arguments = {
        name.rpartition("/")[2]: tf.constant(inputs[name])
        for name in inputs
        if name.startswith(f"{call}/")
    }
    name = call.partition("/")[0]
    signature = served.signatures[name]
    if call == "serving_default/1":  # by Keras's name as well
        again = served.serve(arguments["images"])["boxes"]
        np.testing.assert_array_equal(again, signature(**arguments)["boxes"])
    results |= {f"{call}/{name}": value.numpy() for name, value in signature(**arguments).items()}
assert not [name for name in sys.modules if name.partition(".")[0] == "mrcnn_tf"]
np.savez(outputs, **results)
