"""From rows to tensors, batches, losses, checkpoints and adapters: the parts that finetune.py puts together."""
