"""An MLflow store or server as the record: the one folder that imports mlflow.

experiment <study>            tags: the view of the study in MLflow's UI
└── run, kind study           study.toml, facts, test/..., the report, the champion's model
    └── run, kind trial       params, curves, val_class_accuracy/<class>;
                              trial.json, confusion.csv (not of a regression), predictions.npy,
                              weights.safetensors

tracker   the write side
reader    the read side
artifacts the files of a trial's run
experiment made with its view, found again, set aside
store     a client whose errors are one line, runs found by uid
failures  what went wrong, and whether it may pass
database  a local one, made whole or not at all
auditor   everything on record of a study as it stands, for `harness doctor`
champion  the best model, logged and registered
points    what is measured, as MLflow's points
names     how values and metrics are called and shown
"""
