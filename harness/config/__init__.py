"""Study files: from TOML and --set overrides to a checked StudyConfig.

loader         load a study file, and check its tables against each other
study_files    where study files are, and what each is about
study_tables   every key of a study file, with its type and default
model_tables   the same of [confirm], [ensemble] and [final]
schema         StudyConfig: a checked study file, and what identifies a study
defaults       the defaults that depend on other keys
limits         the [limits] table, and whether costs are within it
search_space   the [space] table, and how an Optuna trial draws settings from it
trial_tables   the [train] and [[trial]] tables
objective_conflicts  what contradicts the objective or the loss
validation     check values against their types; a mistake is one line that names the key
task_settings  the settings that only a classification or only a regression has
overrides      `--set TABLE.KEY=VALUE`
scaffold       `harness new-study`: a study file that fits a dataset, from templates/
tabular_space  the search for tables, written by scaffold and named in Python
new_study      the result of `harness new-study`, for the terminal
data_keys      the [data] keys that such a file needs
"""
