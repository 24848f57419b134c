"""Write scikit-learn's digits out as a folder of images, to try a sweep on one: python digits_as_images.py FOLDER."""

import sys
from pathlib import Path

from PIL import Image

from trainers.datasets import load_dataset

if len(sys.argv) != 2:
    raise SystemExit(__doc__)
digits = load_dataset("digits")
for part, images, labels in (
    ("train", digits.x_train, digits.y_train),
    ("test", digits.x_test, digits.y_test),
):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = Path(sys.argv[1]) / part / str(int(label)) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
