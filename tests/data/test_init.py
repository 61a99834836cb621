import subprocess
import sys

import pytest

from mrcnn_tf import data
from tests.data.coco_folder import random_folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return random_folder(tmp_path_factory.mktemp("data") / "coco", num_images=7).write()


def test_the_index_needs_no_tensorflow(files):
    program = (
        "import sys; from mrcnn_tf import data; data.CocoDataset(*sys.argv[1:]); data.shapes;"
        "data.find_split; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, *files], check=True)
    assert callable(data.coco) and "coco" in dir(data)
    with pytest.raises(AttributeError, match="no attribute 'voc'"):
        data.voc  # noqa: B018
