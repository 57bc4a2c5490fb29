"""`harness predict`: a trained model's predictions for image files, and for test examples.

score_rows           predict the rows of a table
row_predictions      such predictions, for people and as a file
label_sets           sets of labels that hold the true class
prediction_interval  the interval of a predicted number
classify_images      predict the classes of image files
image_io             find and open image files
preprocessing        turn any image into an input of the network
foreground           separate what is drawn from its background
digit_normalization  normalize a handwritten digit as MNIST or NIST did
recorded_model       a recorded model's predictions for arrays
test_examples        recorded predictions for test examples, one by one
terminal_image       print images in a terminal
"""
