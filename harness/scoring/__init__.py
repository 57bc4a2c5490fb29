"""Code that a table's model carries with it: it turns raw rows into features, without harness.

These files are stored beside the model and run where harness is not installed. So they import one
another, numpy, pandas and torch, and nothing else of harness.

number_texts     numbers that are written as texts
date_texts       dates and times that are written as texts
column           a column of a table: its kind, and how its values become cells
column_features  a column's cells as features, fitted on training rows
feature_scaling  the scaling of number features, fitted on training rows
table_transform  all columns of a table, as plain parameters
champion         the model that MLflow loads: raw rows in, labels or numbers out
"""
