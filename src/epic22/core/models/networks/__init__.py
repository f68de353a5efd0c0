"""Neural networks: trained by PyTorch, answering through ONNX."""
