"""The search: which settings to train next, and one study's Optuna record under its lock.

open_study    create or continue a study; reject changes
study         ask for trials, report epochs, tell results, requeue interrupted trials
counts        how many trials of a study ended, and how
retried_trials Optuna studies that know retries
limits        what a setting costs before it is trained, and whether [limits] allows it
objectives    a study's objectives in Optuna: their directions, and a trial's values
fold_pruner   prune a trial by its folds
stop_rule     when a search ends before its last trial
samplers      the samplers and pruners, by name
normal_tail   the normal distribution's logarithm, which TPE spends most of its time on
whole_settings the base of samplers that choose all parameters of a trial at once
first_settings  the settings that a search tries first
distinct      samples no settings twice, and none outside the limits
frozen_trial  what the attributes of a recorded trial mean
fixed_trials  trials of fixed settings, without Optuna
read_only     read a record without writing to it
storage/      where the records are: journal files or PostgreSQL
"""
