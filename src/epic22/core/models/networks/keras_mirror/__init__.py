"""The networks in Keras 3: the same layers from the same specification, with weights that go both ways, on any of its engines."""
