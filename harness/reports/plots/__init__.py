"""The plots of a study's page, one file per kind of plot.

A plot's file computes its data (`compute_...`), draws it (`draw_...`) and returns its plots of a
study (`build_plots`). A line in `registry` puts it on the page.

base                  Plot and PlotKind
registry              the list of all kinds of plot
style                 colours, labels and layout
scatter               trials as points

top_trials            the best trials with their intervals
confirmation          scores in the search and on new splits
seed_variance         the settings of a grid or list over their seeds
test_selection_bias   the cost of choosing on the test set
learning_curves       loss and score by epoch
fold_scores           the champion's curve in each fold, the best trials by fold
class_accuracy        accuracy by class
confusion_matrix      the champion's confusion matrix
class_heatmap         accuracy by trial and class
reliability           the share of right predictions by their probability
    regression            predicted versus true values, residuals, errors
importance            hyperparameter importance
slice                 the objective by the value of one setting
contour               the objective over the two most important settings
parallel_coordinates  all settings and the objective
front                 the further objectives of a study, by the first
pareto                the score by size and by training time
optimization_history  the objective by trial, and the best so far
expected_best         the expected best of n random trials
timeline              when each worker trained which trial
data_quality          class balance
"""
