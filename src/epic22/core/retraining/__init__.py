"""When a task is trained again: triggers, of which each looks at what came since its last training."""
