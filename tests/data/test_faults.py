import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.data import CocoDataset, coco
from mrcnn_tf.data.faults import as_data_fault
from tests.data.coco_folder import random_folder


def test_the_sentence_of_a_fault_is_found(tmp_path):
    dataset = CocoDataset(*random_folder(tmp_path / "data").write())
    broken = dataset.path(dataset.image_ids[0])
    with open(broken, "wb") as file:
        file.write(b"no image")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(coco(dataset, batch_size=1, size=64))
    message = str(as_data_fault(caught.value))
    assert broken in message and "\n" not in message


def test_other_errors_are_not_faults_of_the_data():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.reshape(np.zeros(3), [2])
    assert as_data_fault(caught.value) is None
