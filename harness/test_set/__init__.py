"""The sealed test set: freeze the selection, open the set once for it, log every opening.

selection   what was chosen, from which trials, by which rule, and the hash of that
opening     the one file that opens a sealed test set
log         every opening of a test set, over all studies
"""
