"""What a finished study shows: the champion, how certain the choice is, paired tests, replays.

Everything here reads records and trains nothing.

    facts                 every fact about a study, in one list for text, JSON and the report page
    fact                  one fact, with its forms
    test_set_facts        the facts about the test set
    baseline_verdict      who won, the champion or the best of the simpler models
    summary               the data behind these facts, loaded from the tracking store
    confirmation          the champion, by confirmation runs on new splits
    corrected_score       what the champion's settings reach, corrected for selection
    fold_score            the same for a study with folds
    contenders            the settings that compete with the champion's: differences, probabilities
    search_facts          the facts on what a search tried: its first settings, limits and front
    front                 the trials that no other dominates, of a study with several objectives
    setting_differences   the same for the settings of a grid or list
    seed_variance         the settings of a grid or list, compared over their seeds
    paired_tests          two trials on the same examples: is the difference significant?
    tied_trials           the trials that are statistically indistinguishable from the champion
    trial_ranks           the order of a finished study's trials in MLflow's UI
    expected_best         the expected best of n trials: how many were worth running
    early_stop            why a search ended before its last trial, and what that saved
    selection_bias        by how much the best score of a search is too good
    test_selection_bias   what choosing on the test set would have cost
    data_quality          data leakage and class balance, as recorded
    ensemble_record       the ensemble, as it is recorded
    ensemble_facts        what the ensemble buys over the champion, and what it costs
    final_model           the final model of a study with folds, as it is recorded
    calibration_record    the calibration of the champion, as it is recorded
    calibration_facts     whether the champion's probabilities can be believed
    misclassified         the validation images that are misclassified with the most confidence
    comparison            several trials of any studies, for `harness compare`
    lookup                find a study or trial by the name that a user typed
    replay_tolerance      two trainings of one trial: bit by bit, and against rounding
    replay_result         the result of `harness replay`
    formatting            percentages, intervals, durations, accuracies by class
"""
