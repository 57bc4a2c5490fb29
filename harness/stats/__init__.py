"""Statistics on plain numbers: confidence intervals, significance tests, regression metrics.

proportions     interval of an accuracy, McNemar's test, p-values adjusted for their number
regression      RMSE, MAE and R2, the RMSE's bootstrap interval, the sign-flip test
"""
