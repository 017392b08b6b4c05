"""Five classifiers of different families, trained on one half of the digits.

The digits are the 1797 images of 8 x 8 pixels that ship inside scikit-learn.
"""

from collections.abc import Callable
from typing import Any

from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from quorate.hub import Answer

TRAINED_ON = 900
PIXELS, DIGITS = load_digits(return_X_y=True)


def _trained(model: ClassifierMixin) -> Callable[[dict[str, Any]], Answer]:
    model.fit(PIXELS[:TRAINED_ON], DIGITS[:TRAINED_ON])

    def answer(task: dict[str, Any]) -> Answer:
        shares = model.predict_proba([task["pixels"]])[0]
        best = int(shares.argmax())
        return Answer(best, round(float(shares[best]), 6))

    return answer


logistic = _trained(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)))
bayes = _trained(GaussianNB(var_smoothing=1e-2))
neighbours = _trained(KNeighborsClassifier(5))
support_vectors = _trained(CalibratedClassifierCV(SVC(), ensemble=False))
ellipsoids = _trained(QuadraticDiscriminantAnalysis(reg_param=0.1))
