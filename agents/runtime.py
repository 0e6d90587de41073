"""Starting Ray quietly, and turning an `AgentConfig` into an RLlib configuration."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import ray
from ray.tune.registry import register_env

from agents.algorithm import BatchedConfig
from agents.config import AgentConfig
from agents.ddpg import DDPGConfig
from agents.devices import learner_place, reserved
from agents.plain_rllib import PlainPPOConfig
from agents.ppo import BatchedPPOConfig
from data_pipeline.errors import InputError
from supervised.devices import device_count, resolve_device

EnvCreator = Callable[[dict[str, Any]], gym.Env | gym.vector.VectorEnv]


PROBE_SECONDS = 2.0
"""How long an iteration waits for runners that died before it goes on with the others."""
SAMPLE_SECONDS = 600.0
"""How long one for a fragment; RLlib's minute drops the work of slow runners."""
START_ATTEMPTS = 3
SLOW_START = "timed out during startup"


def connect(agent: AgentConfig) -> None:
    """Connect to the Ray that a run asks for, and check that its actors have room there.

    Raises:
        InputError: no cluster at the address, or too few CPUs or devices: the actors would wait for them forever.
    """
    learners, runners = agent.scale.learners, agent.num_env_runners
    set_aside = {"CPU": learners + runners}
    for kind, count in reserved(learner_place(agent.device, learners), learners).items():
        set_aside[kind] = count * learners
    here = {kind: float(device_count("xpu")) for kind in set_aside if kind == "XPU"}
    start_ray(max(os.cpu_count() or 1, learners + runners + 1), address=agent.scale.address, resources=here)
    found = ray.cluster_resources()
    for kind, wanted in set_aside.items():
        if found.get(kind, 0) < wanted:
            raise InputError(
                f"{wanted} {kind} asked for, {found.get(kind, 0):g} found",
                where="Ray",
                remedy="use fewer learners or runners, or start the nodes with more",
            )


def start_ray(num_cpus: int | None = None, *, address: str = "", resources: dict[str, float] | None = None) -> None:
    """Start a local Ray without dashboard and without usage reports, or join the cluster at `address` ("auto",
    host:port); does nothing when one is connected already.

    Ray gives its own processes thirty seconds to report, which on a busy machine may not do: it is then tried again.

    Args:
        num_cpus: CPUs Ray may hand to actors; None counts the machine's.
        address: of a cluster that this machine is part of; its nodes bring their own CPUs and resources.
        resources: what else this machine has to hand out.

    Raises:
        InputError: no cluster at that address.
    """
    if ray.is_initialized():
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # actors without a GPU still see the devices
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)  # it greets every algorithm with a migration guide
    if address:
        _join(address)
        return
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(
                address="local",  # never a cluster that happens to run here
                num_cpus=num_cpus,
                resources=resources,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:  # Ray raises a plain Exception, told from others by its text alone
            ray.shutdown()
            if attempt == START_ATTEMPTS or SLOW_START not in str(error):
                raise


def _join(address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"no Ray cluster to join ({reason})",
            where=f"address {address!r}",
            remedy="run `ray start` on this machine first, with the address of the cluster's head",
        ) from error


def rllib_config(
    agent: AgentConfig,
    env: str,
    creator: EnvCreator,
    env_config: dict[str, Any],
    *,
    side_column: int | None = None,
    account_columns: int = 0,
    reset_options: dict[str, Any] | None = None,
) -> BatchedConfig | PlainPPOConfig:
    """The RLlib configuration of a run; `build_algo()` on it makes the Algorithm.

    Args:
        agent: settings of the run. Its devices must be present.
        env: name under which the environment is registered with RLlib.
        creator: makes the vector environment from `env_config` with `num_envs` added.
        env_config: plain values that travel to the workers.
        side_column: observation column that tells the held side, for the policy's first habits (see
            `agents.modules`); None for environments without one.
        account_columns: how many of the last observation columns tell of the account, not of the market.
        reset_options: handed to the environment's first reset.
    """
    register_env(env, creator)
    learners = agent.scale.learners
    learner = learner_place(agent.device, learners)
    runner = learner if agent.runner_device == "same" else str(resolve_device(agent.runner_device))
    translate = _ppo if agent.algorithm == "ppo" else _ddpg
    config = translate(agent, side_column, account_columns)
    config.devices(learner=learner, runner=runner, precision=agent.scale.precision)
    if isinstance(config, BatchedConfig):
        config.reset_options = reset_options
    config.environment(env, env_config=env_config)
    config.env_runners(
        num_env_runners=agent.num_env_runners,
        num_envs_per_env_runner=agent.lanes,
        rollout_fragment_length=agent.fragment,
        sample_timeout_s=SAMPLE_SECONDS,
        gym_env_vectorize_mode="vector_entry_point",
    )
    set_aside = reserved(learner, learners)
    config.learners(
        num_learners=learners,
        num_gpus_per_learner=set_aside.pop("GPU", 0),
        custom_resources_per_learner=set_aside,
    )
    config.fault_tolerance(
        env_runner_health_probe_timeout_s=PROBE_SECONDS, delay_between_env_runner_restarts_s=PROBE_SECONDS
    )
    config.reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0)
    config.debugging(seed=agent.seed, log_level="ERROR", log_sys_usage=False)
    config.training(gamma=agent.gamma)
    if isinstance(config, BatchedConfig) and agent.cloning.source != "none":
        config.policy_after_rows = agent.cloning.critic_rows
    return config


def _ppo(agent: AgentConfig, side_column: int | None, account_columns: int) -> BatchedPPOConfig | PlainPPOConfig:
    ppo, rows, shares = agent.ppo, agent.rows_per_iteration, max(1, agent.scale.learners)
    config = BatchedPPOConfig() if agent.engine == "batched" else PlainPPOConfig()
    config.rl_module(
        model_config={
            "network": asdict(agent.network),
            "side_column": side_column,
            "account_columns": account_columns,
            "flat_bias": ppo.flat_bias,
            "hold_bias": ppo.hold_bias,
            "hold_mean": ppo.hold_mean,
            "log_std": ppo.log_std,
        }
    )
    config.training(
        train_batch_size_per_learner=rows // shares,
        minibatch_size=min(ppo.minibatch, rows) // shares,
        num_epochs=ppo.epochs,
        lambda_=ppo.gae_lambda,
        clip_param=ppo.clip,
        vf_loss_coeff=ppo.value_weight,
    )
    config.schedules(
        lr=(ppo.learning_rate, ppo.learning_rate_final),
        entropy=(ppo.entropy, ppo.entropy_final),
        rows=agent.iterations * rows,
    )
    if isinstance(config, BatchedPPOConfig):
        config.max_grad_norm = ppo.max_grad_norm
    else:
        config.grad_clip = ppo.max_grad_norm
    return config


def _ddpg(agent: AgentConfig, side_column: int | None, account_columns: int) -> DDPGConfig:
    ddpg = agent.ddpg
    # Demonstrations fill the replay: nothing random is to be sampled before learning.
    warmup_rows = 0 if agent.cloning.source != "none" else ddpg.warmup_rows
    config = DDPGConfig()
    config.rl_module(
        model_config={
            "network": asdict(agent.network),
            "side_column": side_column,
            "account_columns": account_columns,
            "hold_mean": ddpg.hold_mean,
            "twin_critics": ddpg.twin_critics,
            "warmup_rows": warmup_rows,
            "noise_kind": ddpg.noise_kind,
            "noise_reversion": ddpg.noise_reversion,
            "noise": ddpg.noise,
            "noise_final": ddpg.noise_final,
            "noise_rows": int(ddpg.noise_decay * agent.iterations * agent.rows_per_iteration),
        }
    )
    config.training(train_batch_size_per_learner=ddpg.batch // max(1, agent.scale.learners))
    config.off_policy(
        actor_lr=ddpg.actor_learning_rate,
        critic_lr=ddpg.critic_learning_rate,
        lr_final=ddpg.learning_rate_final,
        updates=ddpg.updates,
        replay_rows=ddpg.replay_rows,
        replay_megabytes=ddpg.replay_megabytes,
        n_step=ddpg.n_step,
        priority_exponent=ddpg.priority_exponent,
        importance_exponent=ddpg.importance_exponent,
        schedule_rows=agent.iterations * agent.rows_per_iteration,
        tau=ddpg.tau,
        policy_delay=ddpg.policy_delay,
        target_noise=ddpg.target_noise,
        target_noise_clip=ddpg.target_noise_clip,
        warmup_rows=warmup_rows,
        max_grad_norm=ddpg.max_grad_norm,
    )
    return config
