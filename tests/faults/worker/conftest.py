from trainer.fixtures import start_stack as start_stack
