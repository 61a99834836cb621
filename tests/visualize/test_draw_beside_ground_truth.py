import numpy as np

from mrcnn_tf import Predictor
from mrcnn_tf.data import CocoDataset
from mrcnn_tf.visualize import draw_beside_ground_truth, draw_ground_truth
from tests.evaluation.fake_model import BrightRectangle, write_dataset


def test_both_halves_show_the_image(tmp_path):
    dataset = CocoDataset(*write_dataset(tmp_path))  # the first image is 64 wide and 48 high
    predictor = Predictor(BrightRectangle(), score_threshold=0.0)
    both = np.asarray(draw_beside_ground_truth(predictor, dataset, 100))
    assert both.shape == (48, 64 + 8 + 64, 3)
    left, gap, right = both[:, :64], both[:, 64:72], both[:, 72:]
    np.testing.assert_array_equal(left, draw_ground_truth(dataset, 100))
    assert (gap == 255).all() and not np.array_equal(left, right)
    # Its score is 0.9: above that nothing is drawn over the white rectangle.
    plain = np.asarray(draw_beside_ground_truth(predictor, dataset, 100, score_threshold=0.95))
    assert (plain[8:20, 72 + 10 : 72 + 30] == 255).all() and (right[8:20, 10:30] != 255).any()
    small = draw_beside_ground_truth(predictor, dataset, 100, longest_side=32)
    assert small.size == (32 + 8 + 32, 24)
