"""From rows to tensors, batches, losses, checkpoints and adapters: everything finetune.py tells as one story."""
