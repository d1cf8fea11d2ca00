"""Media to codes and back, with a trained model."""
