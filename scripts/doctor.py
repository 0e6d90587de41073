"""Check this installation: versions, devices, and that our packages are the ones imported, here and in a Ray worker.

`agents`, `envs` and `supervised` are names that other wheels use too; a wheel that shadows ours breaks a run in ways
that are hard to see. Example:

    python -m scripts.doctor
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts import cli

PACKAGES = ("data_pipeline", "features", "supervised", "envs", "agents", "evaluation", "live", "scripts")
LIBRARIES = ("numpy", "numba", "pyarrow", "torch", "ray", "gymnasium", "onnxruntime", "tensorboard")
HOME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Args:
    """What to check."""

    ray: bool = True
    """Start a local Ray worker and check what it imports (about ten seconds)."""


def package_origins() -> dict[str, str]:
    """Folder that each of our packages is imported from, or the error that importing it raised."""
    origins = {}
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
            origins[name] = str(Path(module.__file__ or "").resolve().parent)
        except ImportError as error:
            origins[name] = f"{type(error).__name__}: {error}"
    return origins


def worker_origins() -> dict[str, str]:
    """`package_origins`, evaluated in a Ray worker process of a private local cluster."""
    import ray

    from agents.runtime import start_ray

    start_ray()
    try:
        return ray.get(ray.remote(num_cpus=1)(package_origins).remote())
    finally:
        ray.shutdown()


def foreign(origins: dict[str, str]) -> list[str]:
    """One line for each package that does not come from this checkout or installation."""
    return [
        f"{name} comes from {origin}, not from {HOME / name}: uninstall the distribution that owns it "
        f"(`python -m pip show -f NAME` lists files), then reinstall with `make clean && make run`"
        for name, origin in origins.items()
        if origin != str(HOME / name)
    ]


def library_versions() -> dict[str, str]:
    """Installed version of each library that decides behaviour, "missing" where there is none."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def main(args: Args) -> int:
    """Print the findings; 0 when all is well, 1 when something needs mending (each with its remedy)."""
    from rich.console import Console
    from rich.table import Table

    from supervised.devices import available_devices

    console = Console()
    problems: list[str] = []

    versions = library_versions()
    table = Table(title="Versions", show_header=False)
    for name, version in versions.items():
        table.add_row(name, version)
        if version == "missing":
            problems.append(f"{name} is not installed: `make clean && make run` installs it")
    console.print(table)

    table = Table(title="Devices", show_header=False)
    for device, detail in available_devices().items():
        table.add_row(device, detail)
    console.print(table)

    origins = package_origins()
    problems += foreign(origins)
    columns = {"here": origins}
    if args.ray:
        columns["in a Ray worker"] = worker_origins()
        problems += [f"in a Ray worker {line}" for line in foreign(columns["in a Ray worker"])]
    table = Table("package", *columns, title="Packages")
    for name in PACKAGES:
        table.add_row(name, *(found[name] for found in columns.values()))
    console.print(table)

    for problem in problems:
        console.print(f"[red]problem[/red] {problem}", soft_wrap=True)
    console.print("[green]all is well[/green]" if not problems else f"[red]{len(problems)} to mend[/red]")
    return 1 if problems else 0


def main_cli() -> int:
    """Console entry point."""
    return cli.run(Args, main, __doc__)


if __name__ == "__main__":
    sys.exit(main_cli())
