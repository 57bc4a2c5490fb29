"""From a dataset's name to the parts of it: sources decode, files are kept, parts are tensors.

found     what a dataset is: found (Source), then decoded into arrays (Decoded)
sources   a name -> arrays (torchvision's classes, CIFAR-10, scikit-learn's digits)
cifar     CIFAR-10's binary files -> arrays
own       a path -> arrays: pictures (a folder of them by class), npz, tables (CSV, Excel)
held_out  which rows are kept and which are held out
fairness  what stands in several parts, the balance of the classes
folders   the cache's folders, there whole or not at all
files     arrays -> a decoded cache and a split, numpy only: what the driver touches, so that
          importing it does not import torch
parts     the cache -> torch Datasets that all workers of a machine share; the sealed test
"""
