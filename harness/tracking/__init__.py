"""Recording studies and trials, and reading them back: in MLflow, through an outbox on disk.

base            the Tracker protocol
ranking         which trials may be the champion, and which is better
types           the values that trackers write and read
test_reading    a result on the test set
name_holder     who holds a study's name in a store
trial_document  `trial.json`: settings and learning curves of a trial
predictions     the files of a trial's predictions
epoch_predictions  the file of a confirmation run's predictions after every epoch
raw_types       everything that a store holds of a study, unchecked, for `harness doctor`
in_memory       the working fake, for tests
mlflow          an MLflow store or server: the only package that imports mlflow
outbox          writes that are on disk before they are sent
"""
