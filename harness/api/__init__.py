"""The Python API: what `import harness` offers.

study           a study as an object, from arguments or from a file
study_keys      the keys of [study] and [data] as keyword arguments
space           ranges and choices of a search space
toml            the text of a study file
memory_data     frames, arrays, tensors and datasets as the files that a study reads
model_source    a model class as a name that a worker can import
arguments       check the types of arguments
run             run a study; train one model
wording         messages and errors in the words of Python
result          the result of a study
ensemble        the ensemble of a study's trials
result_html     the same in a notebook
estimators      scikit-learn's interface
predictions     predict arrays, frames, tables and image files
recorded        load a study on record; predict, test, report, compare, replay, doctor
"""
