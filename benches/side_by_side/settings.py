"""What both programs train with; anything else is each program's default."""

TRAINING = dict(learning_rate=1e-5, lr_scheduler_type="constant", weight_decay=0.1, adam_epsilon=1e-8,
                max_grad_norm=1.0, max_length=1024)
BETA = 0.5  # of DPO
NEW_TOKENS = 32  # of generation
