"""An MLflow store or server as the tracking store: the only package that imports mlflow.

    experiment <study>            tags: the saved view of the study in MLflow's UI
    └── run, kind study           study.toml, facts, test/..., the report, the champion's model
        └── run, kind trial       params, curves, val_class_accuracy/<class>;
                                  trial.json, confusion.csv (classification only),
                                  predictions.npy, weights.safetensors

tracker         the Tracker: writes
local_tracker   the reads of a local database without mlflow, which takes 3 s to import
local_store     a local database, read with sqlite3
local_entities  its rows, with the fields of MLflow's entities
local_errors    which of its errors are temporary
reads           the reads of the Tracker
reader          read studies and trials
raw_reader      read everything of a study, unchecked, for `harness doctor`
name_holders    who holds a study's name in the store
experiments     find, create and set aside a study's experiment
runs            the runs of a study and its trials as they are created
run_records     a trial's run, read as a RunRecord
deleted_runs    the runs that somebody deleted in MLflow
artifacts       the files of a trial's run, the dataset of a study's run
model_registry  log and register the best model and the ensemble
model_lookup    find registered models, and the runs whose weights they have
model_writes    the writes of the Tracker that register a model
table_flavor    a model that takes raw rows of a table, and needs no harness
points          metrics as MLflow's points
naming          the names of metrics, tags and parameters
saved_view      the saved view of a study in MLflow's UI
ui_app          MLflow's server with the UI's defaults for model training
model_lookup    find registered models
base_store      what the reads of every store share
client          an MLflow client whose errors are one line and that finds runs by uid
environment     MLflow's process-wide settings
error_mapping   errors of one line, and whether a retry may succeed
artifact_locations  update the recorded paths after the folder was moved or copied
database_template  an empty database in the user's cache
sqlite          create a local database with all of its tables, or not at all
"""
