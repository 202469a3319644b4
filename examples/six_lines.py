"""Six lines: the shipped model on real tissue."""

from skimage.data import immunohistochemistry

from napari_unetsharp import Predictor, load_checkpoint

predictor = Predictor(load_checkpoint("nuclei"), device="auto")
prediction = predictor.predict(immunohistochemistry())
print({branch: round(float(probability.mean()), 3) for branch, probability in prediction.full.items()})
