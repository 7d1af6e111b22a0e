import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcode import FISTACoder
from skcode.metrics import mcc_score, shift_report


def test_official_values_of_oracle_and_probe(official):
    # Reference values of the authors' evaluation on this data set; 2500 samples a side, so 0.002 is five of them.
    X_id, X_ood = official.X_val.astype(np.float32), official.X_ood.astype(np.float32)
    labels = official.y_val, official.y_ood
    coder = FISTACoder(official.dictionary, alpha=0.1, solver="fista", max_iter=100, tol=0, restart=False).fit(X_id)
    report = shift_report(coder, X_id, labels[0], X_ood, labels[1])
    assert report.accuracy_id == pytest.approx(0.9964, abs=0.002)
    assert report.accuracy_ood == pytest.approx(0.9272, abs=0.004)
    assert report.auc_id == pytest.approx(0.9980904784925453, abs=1e-4)
    assert report.auc_ood == pytest.approx(0.9925015248478193, abs=1e-4)
    probe = RidgeCV(alphas=(1e-6, 1e-4, 1e-2, 1.0, 10.0), fit_intercept=False)
    probe.fit(official.X_train, official.codes_train)
    report = shift_report(probe, official.X_val, labels[0], official.X_ood, labels[1])
    assert report.auc_id == pytest.approx(0.9830779979891276, abs=1e-6)
    assert report.auc_ood == pytest.approx(0.8981689665787919, abs=1e-6)
    assert report.accuracy_id == pytest.approx(0.9632, abs=0.002)
    assert report.accuracy_ood == pytest.approx(0.598, abs=0.004)


def test_auc_is_that_of_the_best_single_column(rng):
    codes_id, codes_ood = rng.random_sample((80, 6)).round(1), rng.random_sample((50, 6)).round(1)
    y_id, y_ood = rng.randint(0, 2, 80), rng.randint(0, 2, 50)
    codes_id[:, 2] -= y_id  # the best column, and it points the other way

    def auc(y, column):
        return max(roc_auc_score(y, column), 1 - roc_auc_score(y, column))

    report = shift_report(FunctionTransformer(), codes_id, y_id, codes_ood, y_ood)
    assert report.auc_id == pytest.approx(auc(y_id, codes_id[:, 2]))
    assert report.auc_ood == pytest.approx(auc(y_ood, codes_ood[:, 2]))


def test_a_pipeline_is_judged_by_its_own_predictions(shift):
    pipeline = make_pipeline(FISTACoder(shift.dictionary, alpha=0.05), LogisticRegression())
    pipeline.fit(shift.X_train, shift.y_train)
    true = {"codes_id": shift.codes_val, "codes_ood": shift.codes_ood}
    report = shift_report(pipeline, shift.X_val, shift.y_val, shift.X_ood, shift.y_ood, **true)
    assert report.accuracy_id == pipeline.score(shift.X_val, shift.y_val)
    assert report.accuracy_ood == pipeline.score(shift.X_ood, shift.y_ood)
    codes = pipeline[:-1].transform(shift.X_ood)
    assert report.mcc_ood == mcc_score(shift.codes_ood, codes)
    assert report.adjusted_mcc_ood == mcc_score(shift.codes_ood, codes, adjusted=True)
    assert report.mcc_id > 0.9


def test_sparse_codes_give_the_same_report(shift):
    arguments = (shift.X_val, shift.y_val, shift.X_ood, shift.y_ood)
    dense, sparse = (
        shift_report(FISTACoder(shift.dictionary, sparse_output=flag).fit(shift.X_train), *arguments)
        for flag in (False, True)
    )
    assert sparse.auc_ood == pytest.approx(dense.auc_ood)
    assert sparse.accuracy_id == pytest.approx(dense.accuracy_id, abs=0.01)


def test_more_than_two_classes_have_accuracy_but_no_auc(rng):
    codes, y = rng.random_sample((60, 4)), np.repeat([0, 1, 2], 20)
    report = shift_report(FunctionTransformer(), codes, y, codes, y)
    assert np.isnan(report.auc_id)
    assert 0 < report.accuracy_id <= 1


def test_a_side_with_one_class_has_no_auc(rng):
    codes, y = rng.random_sample((60, 4)), np.repeat([0, 1], 30)
    report = shift_report(FunctionTransformer(), codes, y, codes, np.ones(60, int))
    assert report.auc_id >= 0.5
    assert np.isnan(report.auc_ood)
    with pytest.raises(ValueError, match="LogisticRegression is a classifier without codes"):
        shift_report(LogisticRegression().fit(codes, y), codes, y, codes, y)


def test_a_search_over_a_pipeline_is_judged_as_its_best_pipeline(shift):
    pipeline = make_pipeline(FISTACoder(shift.dictionary), LogisticRegression())
    search = GridSearchCV(pipeline, {"fistacoder__alpha": [0.05]}, cv=2).fit(shift.X_train, shift.y_train)
    arguments = (shift.X_val, shift.y_val, shift.X_ood, shift.y_ood)
    assert shift_report(search, *arguments) == shift_report(search.best_estimator_, *arguments)


def test_lengths_are_checked(shift):
    coder = FISTACoder(shift.dictionary).fit(shift.X_train)
    with pytest.raises(ValueError, match="X_id and y_id have inconsistent numbers of samples: 300 and 299"):
        shift_report(coder, shift.X_val, shift.y_val[:-1], shift.X_ood, shift.y_ood)


def test_a_readout_is_judged_where_it_was_not_fitted(shift):
    true = {"codes_id": shift.codes_val, "codes_ood": shift.codes_ood}
    labels = shift.y_val, shift.y_ood

    def readout(codes_id, codes_ood):
        found = shift_report(FunctionTransformer(), codes_id, labels[0], codes_ood, labels[1], **true)
        return found.zero_shot_r2, found.affine_correlation, found.calibrated_r2

    rotation = np.linalg.qr(np.random.RandomState(0).standard_normal((40, 40)))[0]
    assert readout(shift.codes_val @ rotation, shift.codes_ood @ rotation) == pytest.approx((1, 1, 1), abs=1e-4)
    # Scales that drift cost the zero-shot score alone.
    drifted = readout(shift.codes_val, 0.5 * shift.codes_ood + 1)
    assert drifted[0] < 0.5
    assert drifted[1:] == pytest.approx((1, 1), abs=1e-4)
    # What was lost stays lost.
    noise = np.random.RandomState(0).standard_normal(shift.codes_ood.shape)
    assert max(readout(shift.codes_val, noise)) < 0.1
    # In superposition a linear readout does not get far in new combinations, inference on the dictionary does.
    linear = readout(shift.X_val, shift.X_ood)
    inferred = readout(
        *(FISTACoder(shift.dictionary, alpha=0.01).fit(X).transform(X) for X in (shift.X_val, shift.X_ood))
    )
    assert linear[0] < linear[2] < 0.8 < 0.95 < inferred[0]


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_scales_do_not_matter(rng, scale):
    true, y = rng.random_sample((80, 3)), np.repeat([0, 1], 40)
    codes = true + 0.1 * rng.random_sample((80, 3)) + y[:, None]

    def report(codes, true):
        arguments = (codes[::2], y[::2], codes[1::2], y[1::2])
        return shift_report(FunctionTransformer(), *arguments, codes_id=true[::2], codes_ood=true[1::2])

    expected = report(codes, true)
    for found in (report(scale * codes, true), report(codes, scale * true)):
        for name in expected:
            assert found[name] == pytest.approx(expected[name], abs=0.03 if "accuracy" in name else 1e-6), name


def test_columns_of_the_truth_must_agree(shift):
    with pytest.raises(ValueError, match="codes_id and codes_ood must have the same columns, got 40 and 7"):
        shift_report(
            FunctionTransformer(), shift.X_val, shift.y_val, shift.X_ood, shift.y_ood, codes_id=shift.codes_val,
            codes_ood=shift.codes_ood[:, :7],
        )  # fmt: skip
