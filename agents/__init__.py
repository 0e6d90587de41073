"""Reinforcement learning on RLlib's new API stack: PPO, DDPG, devices, checkpoints, policies out."""
