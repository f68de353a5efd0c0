"""Libraries that a started process cannot import, though they are installed."""

WITHOUT_TRAINING_STACK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "onnxscript"):
            raise ModuleNotFoundError(f"{name} is absent here", name=name)
        return None

sys.meta_path.insert(0, Absent())
"""
"""The first lines of a script that answers with networks and must not need what trains them."""
