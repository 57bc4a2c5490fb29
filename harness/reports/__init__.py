"""The HTML pages on a study, a comparison of trials and image predictions.

page                    sections, tables and plots as one self-contained HTML file; templates/
live_page               writes the page of a recorded study, and updates it while the study runs
study_page              the page of a study: its sections in order
winner_section          the key figures and the summary
commands_section        commands to load the model and to repeat the study
uncertainty_section     intervals, paired tests, how the champion was chosen
confirmation_section    the best settings, trained again on new splits
grid_or_list_sections   results by setting, and the cost of choosing on the test set
front_section           the trials that no other dominates, of several objectives
regression_section      prediction errors, compared with simpler models
data_section            duplicates across the sets, class balance, hashes
cross_validation_section  the champion's curve in each fold, the best trials by fold
leaderboard             the trials as a table
recommendations         what to try next, with the evidence
ranges                  recommendations about a search's ranges
baselines_section       the champion beside simpler models: a table, and who won
calibration_section     whether the champion's probabilities can be believed
    ensemble_section        the ensemble beside the champion, and its members
test_set_recommendations  recommendations from the test set and the baselines
commands                shell commands for a recorded study
parameter_axes          the varied settings as plot axes
comparison_page         the page of `harness compare`
image_predictions_page  the page of `harness predict STUDY IMAGE... --show`
plots/                  one file per kind of plot
"""
