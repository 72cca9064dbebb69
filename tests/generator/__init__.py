"""The generator of the models that the tests read."""
