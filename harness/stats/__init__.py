"""Statistics on plain numbers: confidence intervals, significance tests, regression metrics.

proportions     interval of an accuracy, the lowest of several, McNemar's test, adjusted p-values
selection       scores corrected for selection, paired differences, probability of being the best
bootstrap_selection the score of the best of many settings, corrected by the bootstrap
best_of_n       the expected best of n random values
ensembles       greedy selection of an ensemble, halves of a validation set
calibration     error of class probabilities, temperature scaling, reliability bins
conformal       intervals and sets of predictions from the validation set
metric_intervals  intervals of AUC, F1, log loss, R2 and others
regression      RMSE, MAE and R2, the intervals of RMSE and MAE, the paired bootstrap-t test
"""
