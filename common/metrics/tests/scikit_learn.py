"""Prints the measures of the predictions in the file named by the argument, as scikit-learn
defines them. Rows of weight 0 are left out, because some of its functions count their classes."""

import json
import sys

import numpy as np
from sklearn import metrics


def of_classes(outputs, weights):
    classes = outputs["classes"]
    truth = np.array(outputs["truth"])
    weights = np.ones(len(truth)) if weights is None else np.array(weights)
    singles = np.array(outputs["probabilities"], dtype=np.float32).reshape(-1, classes)
    truth, singles, weights = truth[weights > 0], singles[weights > 0], weights[weights > 0]
    p, predicted, labels = singles.astype(np.float64), singles.argmax(axis=1), np.arange(classes)
    epsilon = float(np.finfo(np.float32).eps)
    clipped = np.clip(p, epsilon, 1 - epsilon)
    clipped /= clipped.sum(axis=1, keepdims=True)
    present = np.unique(truth)

    def area(score, least):
        if len(present) < least:
            return None
        positive = [1] if classes == 2 else present
        if classes == 2 and 1 not in present:
            return None
        areas = [score(truth == c, p[:, c], sample_weight=weights) for c in positive]
        return float(np.mean(areas))

    if classes == 2:
        brier = metrics.brier_score_loss(truth, p[:, 1], sample_weight=weights, pos_label=1)
    else:
        brier = metrics.brier_score_loss(
            truth, p, sample_weight=weights, labels=labels, scale_by_half=False
        )
    by_class = metrics.precision_recall_fscore_support(
        truth, predicted, labels=labels, sample_weight=weights, zero_division=0
    )
    return {
        "accuracy": metrics.accuracy_score(truth, predicted, sample_weight=weights),
        "balanced_accuracy": metrics.balanced_accuracy_score(
            truth, predicted, sample_weight=weights
        ),
        "macro_f1": metrics.f1_score(
            truth, predicted, average="macro", sample_weight=weights, zero_division=0
        ),
        "log_loss": metrics.log_loss(truth, clipped, sample_weight=weights, labels=labels),
        "log_loss_in_f32": metrics.log_loss(truth, singles, sample_weight=weights, labels=labels),
        "roc_auc": area(metrics.roc_auc_score, 2),
        "pr_auc": area(metrics.average_precision_score, 1),
        "brier": brier,
        "confusion": metrics.confusion_matrix(
            truth, predicted, labels=labels, sample_weight=weights
        ).tolist(),
        "by_class": np.array(by_class, dtype=np.float64).T.tolist(),
    }


def of_values(outputs, weights):
    truth, predicted = np.array(outputs["truth"]), np.array(outputs["predicted"])
    return {
        "rmse": metrics.root_mean_squared_error(truth, predicted, sample_weight=weights),
        "mae": metrics.mean_absolute_error(truth, predicted, sample_weight=weights),
        "r2": metrics.r2_score(truth, predicted, sample_weight=weights),
    }


def of(predictions):
    outputs, weights = predictions["outputs"], predictions["weights"]
    if "classes" in outputs:
        return of_classes(outputs["classes"], weights)
    return of_values(outputs["values"], weights)


with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps([of(predictions) for predictions in json.load(file)]))
