"""From a trained network to verified microcontroller firmware."""
