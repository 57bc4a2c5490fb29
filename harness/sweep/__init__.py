"""Run a study: plan it, drive its trials, confirm the winner, read the test set, report.

options       the options of a run, checked once
plan          a study file and options -> devices, data, stores and executor, resolved
run           `run_study`: a study from start to summary
preload       import what the end needs while the last trials are trained
driver        the loop: ask, train, report, prune, record, tell
process_state one study at a time in a process, and all of its settings are restored
progress      the state of a sweep, and the interface of what displays it
status        lines on how far a study is
recovery      close the trials that a dead driver left running, and miss no run of a trial
check_name    refuse a name that another study has in the store, and a study in a copied folder
check_models  check, before the start, that custom models fit the data
check_data    settings that cannot be trained on the data
setting_costs what a setting costs before it is trained, and how many are within [limits]
confirm       train the best settings again on new splits
finalize      freeze the choice, register the champion, read the test set, report
calibrate     measure the champion's calibration, and scale the registered model
    test_opening  open the test set for the frozen choice, and record each result
baseline_results  record the baselines, and the champion's paired test against each
baseline_scores   the baselines' further metrics, and the test by the objective
final_model   train the final model of a study with folds on all of their examples
    fold_outputs  what the networks of the folds give for their own validation sets
ensemble      choose the ensemble from the best trials, and register it
ensemble_test the ensemble's result on the test set, beside the champion's
model_description  what is stored with a registered model
sealed_study  `harness test`: open the test set that --no-test left sealed
recorded_inputs  the data and model code of a recorded study, checked against the record
dry_run       `--dry-run`: what a study would do, and how long
time_estimate how long a study trains, from a few settings and the free share of the cores
train_once    `harness train`: one run with fixed settings
table_record  record how a table's rows become features
replay        `harness replay`: train a trial again and compare it with the record
sync          `harness sync`: send the outboxes to the tracking store
environment   versions, code, machine and data of a run, and what breaks equal bits
"""
