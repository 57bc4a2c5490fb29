"""From a dataset's name to the parts of it: sources decode, files are kept, parts are tensors.

sources   a name -> arrays (torchvision's classes, CIFAR-10, scikit-learn's digits)
cifar     CIFAR-10's binary files -> arrays
files     arrays -> a decoded cache and a split, numpy only: what the driver touches, so that
          importing it does not import torch
parts     the cache -> torch Datasets that all workers of a machine share; the sealed test
"""
