"""The tables of the zoo, a file for each kind of model."""
