"""Fine-tuning with the firmware's integer arithmetic."""
