"""Networks as torch modules: the built-in MLP, custom models, their export and the baselines.

mlp               the built-in network, and loading of any trained network
activations       each activation: its torch module and its hand-written kernels
tabular           the built-in module for tables
conv              the built-in module for images
calibrated        a classifier whose probabilities are scaled by a temperature
fold_weights      the weights of one network for each fold, in one file
ensemble          several trained networks as one module
custom            a user's own torch.nn.Module in place of the MLP
user_code         find, fingerprint and import the user's code
target_transform  transforms of a regression's target, and the way back to its units
prediction_time   how long a network takes to predict, on one core
normalization     input normalization and target units, shared by both networks
export            whether the champion can be exported with torch.export
baselines         the record of the simpler models that a champion is compared with
baseline_fits     fits them: mean or majority class, linear or logistic regression, boosted trees
boosters          fits XGBoost and LightGBM where they are installed
"""
