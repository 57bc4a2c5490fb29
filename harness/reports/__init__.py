"""A study as one page. Each plot is a function from runs to data and one from data to figure.

page         puts one page together, self-contained
curves       loss and accuracy, or RMSE, against epoch, every trial
contenders   the best trials with their intervals, and who ties with the champion
expected     the expected best of n trials
classes      accuracy by class, hardest first
confusion    the champion's confusion matrix
predicted    of a regression: predicted against true, residuals, simpler models beside
leaderboard  the trials as a table
style        what the figures share
"""
