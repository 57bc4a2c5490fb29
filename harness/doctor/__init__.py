"""`harness doctor`: does what is on record of a study hold together, and can it be mended?

evidence     everything on record, gathered without a byte written
journal      Optuna's part of it
checks       the eight invariants: evidence in, findings out
finding      a breach, and what mends it
repair       the mending, under the study's lock
examination  studies one by one, in words and as JSON
"""
