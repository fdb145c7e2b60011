from trainer.fixtures import start_stack

__all__ = ["start_stack"]
