"""The actor's and the critic's network: layout, losses, optimizers."""
