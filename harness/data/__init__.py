"""Datasets: a name or a path becomes a training, a validation and a sealed test set.

builtin         the registry of built-in datasets; finds a dataset by name or path
mnist           FashionMNIST and MNIST, downloaded and decoded by torchvision
cifar10         CIFAR-10's binary files
dataset_files   the folder of built-in datasets, checksums, errors about missing files
custom          custom data: finds what lies at a path
image_files     finds and opens image files
image_values    decodes images to 8 bits
image_folder    a folder of images by class
float32         numbers as float32, and what it cannot hold
npz             an .npz of arrays
table           the cells of a table
text_files      reads a CSV or TSV file
excel_files     reads a sheet of an Excel file
excel_header    the rows of a sheet that name its columns
arrow_files     reads a Parquet or Feather file
table_files     reads any of these, and checks the columns' names
column_types    numbers, money, dates and times in columns of texts
similar_names   names that differ only in spaces, case or a final dot
column_kinds    the kind of each column, and whether it is left out
tabular         a table as cells and labels
table_labels    the column to predict
table_features  cells as features, fitted on the training rows of each split
table_notes     what became of the columns, for people
split_columns   the columns that splits are made by: groups and times
table_guesses   the task and the useless columns of a table, for a new study file
split_rule      what a split respects: equal shares of classes, groups or time
split           splits rows into training, validation and test set
split_files     writes a split: row numbers, statistics, duplicates
split_fit       fits statistics and features to the training rows of a further split
split_hash      the hash that identifies a split
further_splits  writes further splits of the same examples
redrawn_splits  splits drawn again from training and validation, for confirmation runs
folds           the folds of a cross-validation
reshuffled_folds folds that are drawn again for each trial
split_notes     notes on a split: its validation set, features without an effect
target_leaks    columns that predict the target nearly perfectly
leakage         counts duplicates between the splits, and classes
example_hashes  identifies examples one by one, whatever their order, label, type and split
seal            the folder of the sealed test set, and its labels as masked bytes
cache           the cache folder: atomic writes, checked reads
decoded_files   writes decoded data
training_files  the files of a training and validation set, as workers get them
prepare         all of the above: find, decode, split and cache a dataset
torch_datasets  the cached splits as torch Datasets
types           what these modules pass to each other
"""
